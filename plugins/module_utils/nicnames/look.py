# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a host: everything that the planner asks, and nothing that changes it. Few programs are started, since that is what costs."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import Callable, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import open_root
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import look_files, look_net, management, rdmarules, record
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import connected, profiles
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import manager as ask_manager
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Seen

#: Runs a command: exit status, output, errors; a program that is not there gives 127.
Runner = Callable[[List[str]], Tuple[int, str, str]]
#: Major release of the Red Hat family to its systemd.
RELEASES = {8: 239, 9: 252, 10: 257}
SYSTEMD = 252
ROUTER = "sglang-router.service"
RUNNING = ("active", "activating", "reloading", "deactivating")


def serving(run: Runner) -> Tuple[Tuple[str, ...], str]:
    """Return the units of engines that run, or are about to; and why that is not known, empty where it is."""
    rc, out, err = run(["systemctl", "show", "--property=Id,ActiveState", "sglang-*.service"])
    if rc != 0:
        return (), (
            f"systemctl show does not tell which engines run ({' '.join((err or out).split()) or rc}), and none may lose its interface. "
            "Fix: see systemctl status, then run again"
        )
    rows = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
    return tuple(sorted(row["Id"] for row in rows if row.get("ActiveState") in RUNNING and row.get("Id", ROUTER) != ROUTER)), ""


def systemd_version(output: str) -> int:
    """Return the version that C(udevadm --version) or C(systemctl --version) tells, 0 where it tells none."""
    match = re.match(r"\s*(?:systemd )?([0-9]{1,4})", output)
    return int(match.group(1)) if match else 0


def live_systemd(run: Runner, release: str) -> Tuple[int, str]:
    """Return the version of this host's udev, and why it is not known, empty where it is.

    An old udev takes a .link file with a key that it does not know for one that fits every NIC, so nothing is assumed.

    :param release: text of os-release, which tells it on the Red Hat family.
    """
    for program in ("udevadm", "systemctl"):
        rc, out, _err = run([program, "--version"])
        version = systemd_version(out) if rc == 0 else 0
        if version:
            return version, ""
    version = release_systemd(release, 0)
    advice = "which decides what a .link file may say. Fix: see udevadm --version"
    return version, "" if version else f"neither udevadm nor systemctl tells the version of systemd, {advice}"


def release_systemd(text: str, otherwise: int = SYSTEMD) -> int:
    """Return the systemd of a release by its os-release: that of the Red Hat family, otherwise a usual one, or as told."""
    rows = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    families = f"{rows.get('ID', '')} {rows.get('ID_LIKE', '')}".replace('"', " ").split()
    match = re.match(r'"?([0-9]{1,3})', rows.get("VERSION_ID", ""))
    return RELEASES.get(int(match.group(1)), otherwise) if match and {"rhel", "fedora", "centos"} & set(families) else otherwise


def root_mount(mounts: str) -> str:
    """Return what the root file system is mounted from and with which options, empty where that is not over the network by itself."""
    rows = [line.split() for line in mounts.splitlines()]
    found = [f"{row[0]} {row[3]}" for row in rows if len(row) >= 4 and row[1] == "/" and row[2].startswith("nfs")]
    return found[-1] if found else ""


def managed(root: Root, nics: Tuple[Nic, ...]) -> Tuple[Nic, ...]:
    """Return the devices, with those marked that the controller's connection runs over."""
    defaults = management.default_routes(root.read("/proc/net/route", 1 << 22) or "", root.read("/proc/net/ipv6_route", 1 << 22) or "")
    local, client = management.connection() if root.live else ("", "")
    routed, more = root.ask("routes", lambda: management.route_devices(local, client)) or ((), ()) if root.live else ((), ())
    carriers = management.devices(nics, local, [*defaults, *more], routed)
    return tuple(replace(nic, management=nic.name in carriers) for nic in nics)


def look(root: Root, run: Runner) -> Seen:
    """Return a host as it is.

    :param root: the running machine, or a tree that stands for one; then nothing is run and the kernel is not asked.
    :raises record.RecordError: the record of earlier runs cannot be read.
    """
    nics, soft = look_net.nics(root)
    known = record.load(root.data(record.PATH, record.LIMIT))
    files = look_files.files(root, [record.PATH, rdmarules.VENDOR, *known.get("files", {}), *known.get("removed", {})])
    manager, shown = ask_manager(run) if root.live else (True, "")
    release = root.read("/etc/os-release") or ""
    systemd, unknown = live_systemd(run, release) if root.live else (release_systemd(release), "")
    units, silent = serving(run) if root.live else ((), "")
    return Seen(
        nics=managed(root, nics),
        profiles=profiles(files.content, shown),
        files=files.content,
        shadowed=files.shadowed,
        systemd=systemd,
        manager=manager,
        connected=connected(shown),
        record=known,
        serving=units,
        unknown=tuple(text for text in (unknown, silent) if text),
        root_mount=root_mount(root.read("/proc/self/mounts") or ""),
        kernel_arguments=root.read("/proc/cmdline") or "",
        modes=files.modes,
        soft=soft,
        errors=dict(sorted(root.errors.items())),
    )


def seen(root: str, run: Runner) -> Seen:
    """Return the host below a path as it is; see look().

    :raises record.RecordError: the record of earlier runs cannot be read.
    """
    return look(open_root(os.path.abspath(root)), run)
