# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as the planner of NIC names sees them, and what becomes of one when a plan is carried out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import linkfile, record
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import profiles
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan import build
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Plan, Seen, Wanted, WantedNic
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.turns import turns

CONNECTIONS = "/etc/NetworkManager/system-connections"
DEFAULT_LINK = "/usr/lib/systemd/network/99-default.link"
DEFAULT = b"[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel database onboard slot path\nMACAddressPolicy=persistent\n"


def mac(number: int) -> str:
    """Return an address of the documentation's range."""
    return f"00:00:5e:00:53:{number:02x}"


def card(number: int, name: str, **other: Any) -> Nic:
    """Return a port of a card; its addresses follow from the number."""
    given = {
        "index": number + 2,
        "mac": mac(number),
        "permanent_mac": mac(number),
        "driver": "mlx5_core",
        "pci": f"0000:{number + 16:02x}:00.0",
        "id_path": f"pci-0000:{number + 16:02x}:00.0",
        "port_name": "p0",
        "up": True,
        "mtu": 1500,
        "addresses": (f"192.0.2.{number + 1}/31",),
    }
    return Nic(name=name, **{**given, **other})


def keyfile(name: str, *more: str, bound: bool = True, kind: str = "ethernet", uuid: str = "") -> bytes:
    """Return a profile with comments and oddities that must stay."""
    lines = [
        "# of the site",
        "[connection]",
        f"id={name}",
        f"uuid={uuid or '7c1b6f0e-0000-4000-8000-' + name.encode().hex().zfill(12)[-12:]}",
        f"type={kind}",
        *([f"interface-name={name}"] if bound else []),
        "",
        *more,
    ]
    return ("\n".join(lines) + "\n").encode()


def host(nics: Iterable[Nic], files: Mapping[str, bytes] | None = None, profiled: bool = True, **other: Any) -> Seen:
    """Return a host.

    :param profiled: whether every card without a master has a keyfile called after it.
    """
    cards = tuple(nics)
    own = {f"{CONNECTIONS}/{nic.name}.nmconnection": keyfile(nic.name) for nic in cards if profiled and not nic.kind and not nic.master}
    content = {DEFAULT_LINK: DEFAULT, **own, **(files or {})}
    shadowed = tuple(path for path in content if path.startswith(("/usr/", "/run/")))
    modes = {path: 0o600 if path.startswith("/etc/NetworkManager") else 0o644 for path in content}
    given: dict[str, Any] = {"shadowed": shadowed, "manager": (1, 42, 4), "modes": modes}
    return Seen(nics=cards, profiles=profiles(content, ""), files=content, **{**given, **other})


def edited(seen: Seen, files: Mapping[str, bytes]) -> Seen:
    """Return a host on which somebody has written files."""
    content = {**seen.files, **files}
    return replace(seen, files=content, modes={**dict.fromkeys(files, 0o644), **seen.modes}, profiles=profiles(content, ""))


def rails(count: int = 8, name: str = "enp{}s0f0np0") -> list[Nic]:
    """Return the cards of a host, one a rail."""
    return [card(number, name.format(number + 16)) for number in range(count)]


def wanted(names: Mapping[int, str], **other: Any) -> Wanted:
    """Return the wish that cards (by their numbers) have names."""
    return Wanted(nics=tuple(WantedNic(name, mac=mac(number)) for number, name in names.items()), **other)


def good(seen: Seen, asked: Wanted) -> Plan:
    """Return a plan without faults."""
    plan = build(seen, asked)
    assert plan.faults == []
    return plan


def renamed(nics: Iterable[Nic], plan: Plan) -> dict[str, str]:
    """Return the old names to the new ones after the kernel took the renames in their two passes; it refuses names that are in use."""
    names = {nic.name for nic in nics}
    now = {rename.before: rename.before for rename in plan.renames}

    def take(before: str, after: str) -> None:
        here = now[before]
        assert here in names, f"{here} is gone"
        assert after not in names, f"EEXIST: {after}"
        names.discard(here)
        names.add(after)
        now[before] = after

    numbers = dict(enumerate(rename.before for rename in plan.renames))
    for turn in turns(numbers, dict(enumerate(rename.after for rename in plan.renames))):
        for number, after in turn.items():
            take(numbers[number], after)
    return now


def carried_out(seen: Seen, plan: Plan) -> Seen:
    """Return the host after a plan was carried out."""
    now = renamed(seen.nics, plan)
    rdma = plan.rdma

    def moved(nic: Nic) -> Nic:
        name = now.get(nic.name, nic.name)
        return replace(
            nic,
            name=name,
            master=now.get(nic.master, nic.master),
            lower=tuple(now.get(lower, lower) for lower in nic.lower),
            mtu=plan.mtus.get(name, nic.mtu),
            rdma=tuple(rdma.get(device, device) for device in nic.rdma),
        )

    files, modes = written(seen, plan)
    return replace(
        seen,
        nics=tuple(map(moved, seen.nics)),
        files=files,
        modes=modes,
        profiles=profiles(files, ""),
        record=record.load(files.get(record.PATH)),
    )


def written(seen: Seen, plan: Plan) -> tuple[dict[str, bytes], dict[str, int]]:
    """Return files and modes after those of a plan were written and removed."""
    files, modes = dict(seen.files), dict(seen.modes)
    for change in plan.files:
        assert change.before == seen.files.get(change.path), change.path
        assert not change.like or change.like in seen.files, change.like
        assert change.path not in seen.shadowed, change.path
        if change.after is None:
            assert not change.like, change.path
            del files[change.path]
            modes.pop(change.path, None)
        else:
            files[change.path] = change.after
            modes[change.path] = seen.modes[change.like] if change.like else change.mode
            assert change.mode == modes[change.path], change.path
    return files, modes


def booted(seen: Seen) -> Seen:
    """Return the host after a boot: udev has applied the first .link file of each card, and the kernel has lost alternative names."""

    def named(nic: Nic) -> str:
        path = "" if nic.kind else linkfile.first(seen.files, nic, seen.systemd)
        return linkfile.name(seen.files[path]) or nic.name if path else nic.name

    names = {nic.name: named(nic) for nic in seen.nics}
    return replace(
        seen,
        nics=tuple(
            replace(
                nic,
                name=names[nic.name],
                master=names.get(nic.master, nic.master),
                lower=tuple(names.get(lower, lower) for lower in nic.lower),
                altnames=(),
            )
            for nic in seen.nics
        ),
    )
