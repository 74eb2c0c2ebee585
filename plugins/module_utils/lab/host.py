# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting and ending hosts."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import hostfiles, mounts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import all_gone, send, wait_until
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand, environment
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Record, write_atomically
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import keeper_of, nspawn_of


def start_host(lab: Lab, record: Record, host: HostRecord) -> None:
    """Mount a host's root and start the process that keeps it running."""
    directory = lab.paths.host(host.name)
    root = directory / "root"
    for name in ("upper", "work", "root"):
        (directory / name).mkdir(exist_ok=True)
    if str(root) not in mounts.mounts_below(directory, mounts.read_mounts()):
        lower = lab.paths.images / record.image
        options = f"lowerdir={lower},upperdir={directory}/upper,workdir={directory}/work"
        demand(
            lab.run,
            ["mount", "-t", "overlay", f"railyard-{record.name}-{host.name}", "-o", options, str(root)],
            f"mount the root of {host.name} ({lab.paths.cache} must be on a file system that overlayfs can write "
            "to, such as ext4 or xfs; RAILYARD_CACHE sets it)",
        )
    if not (directory / "prepared").exists():
        prepare_root(lab, record, host, root)
        (directory / "prepared").touch()
    groups = [] if lab.has_systemd else [mount / lab.group(host.name) for mount in lab.hierarchies.values()]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    script = directory / "keep.sh"
    write_atomically(script, hostfiles.keeper_script(lab.paths, host, groups, lab.hierarchies), 0o755)
    command = [str(script)]
    if lab.has_systemd:
        scope = ["systemd-run", "--quiet", "--scope", "--collect", "--property=Delegate=yes"]
        command = [*scope, f"--unit={lab.scope(host.name)}", "--", *command]
    with (directory / "console.log").open("ab") as console:
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            env=environment(),
            cwd="/",
        )


def prepare_root(lab: Lab, record: Record, host: HostRecord, root: Path) -> None:
    """Write the files that make a copy of the image this host."""
    public_key = (lab.paths.state / "key.pub").read_text(encoding="ascii")
    host_key = (lab.paths.host(host.name) / "ssh_host_ed25519_key").read_text(encoding="ascii")
    for name, (text, mode) in hostfiles.root_files(record, host, public_key, host_key).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)


def stop_hosts(lab: Lab, names: Sequence[str]) -> None:
    """End the recorded processes of hosts, and what is left in the control groups that were made for them.

    Raises:
        LabError: something has not ended in time.
    """
    keepers, spawns = [keeper_of(lab, name) for name in names], [nspawn_of(lab, name) for name in names]
    for keeper in keepers:
        send(keeper, signal.SIGKILL)
    wait_until(partial(all_gone, keepers), 5)
    # The first signal asks the host to shut down, the second makes systemd-nspawn end it and clean up after itself.
    for _attempt in range(2):
        for spawn in spawns:
            send(spawn, signal.SIGTERM)
        if wait_until(partial(all_gone, spawns), 0.1):
            break
    if not wait_until(partial(all_gone, spawns), 3):
        for spawn in spawns:
            send(spawn, signal.SIGKILL)
    for name in names:
        if lab.has_systemd:
            lab.run(["systemctl", "kill", "--signal=SIGKILL", lab.scope(name)], None)
        for mount in lab.hierarchies.values():
            empty_group(mount / lab.group(name))
        for file in ("keeper.pid", "nspawn.pid"):
            (lab.paths.host(name) / file).unlink(missing_ok=True)
    if not wait_until(partial(all_gone, [*keepers, *spawns]), 5):
        raise LabError(f"Processes of the lab '{lab.paths.name}' have not ended: {[*keepers, *spawns]}")


def empty_group(group: Path) -> None:
    """End what is left in a host's control group, which holds nothing but that host's processes, and remove it."""

    def processes() -> list[int]:
        return [int(pid) for file in group.rglob("cgroup.procs") for pid in file.read_text(encoding="ascii").split()]

    def gone() -> bool:
        try:
            return not processes()
        except OSError:
            return False

    if not group.is_dir():
        return
    if not wait_until(gone, 0.3):
        for pid in processes():
            os.kill(pid, signal.SIGKILL)
        wait_until(gone, 3)
    directories = [Path(directory) for directory, *_names in os.walk(group, topdown=False)]
    for directory in directories:
        directory.rmdir()
