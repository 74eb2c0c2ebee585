# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The change of a host, from what is wanted and what is there, pure of any effect."""

from __future__ import annotations

import base64
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import firewalld, planning_table, zones
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.look import VERSION
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import FIREWALLD, NAMES, Plan, Profile, Seen, Wanted, Zone
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import ifcfg, keyfile
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import SCRIPTS

OURS = tuple(NAMES.values())
TAKE = "set network_firewall_take: true to have it moved"


def with_zone(profile: Profile, zone: Optional[str]) -> bytes:
    """Return the file of a profile that names a zone, or none."""
    if profile.path.startswith(SCRIPTS):
        return ifcfg.put(profile.content, "ZONE", zone)
    return keyfile.put(profile.content, "connection", "zone", zone)


class _Firewalld:
    """Plans zones of firewalld.

    :ivar plan: takes what is found.
    """

    def __init__(self, wanted: Wanted, seen: Seen, found: Mapping[str, Zone], plan: Plan) -> None:
        self.wanted, self.seen, self.plan = wanted, seen, plan
        self.zones = found
        self.home = {name: zone.name for zone in found.values() for name in zone.interfaces}
        self.profiles = {profile.device: profile for profile in seen.profiles}
        self.runtime = seen.runtime or {}
        self.remembered: Dict[str, Any] = seen.record.get("profiles", {})
        self.taken: Dict[str, Any] = seen.record.get("taken", {})
        self.keep: Dict[str, Any] = {}
        self.keep_taken: Dict[str, Any] = {}

    def make(self) -> None:
        """Plan files, profiles and what is moved at run time."""
        self._files()
        self._profiles()
        self._operator()
        if self.seen.runtime is not None:
            self._live()

    def _files(self) -> None:
        held = firewalld.files(self.zones, [name for name in self.home if name in self.profiles])
        ours = {
            path: content for path, content in self.seen.files.items()
            if path in firewalld.OWN_ZONES.values() or firewalld.OWN_SET.fullmatch(path)
        }
        for path in sorted({*held, *ours}):
            before, after = ours.get(path), held.get(path)
            if before is not None and not firewalld.own(before):
                if after is not None:
                    self.plan.faults.append(f"{path} is there and is not this collection's. Fix: give that zone another name")
            elif before != after:
                self.plan.files[path] = after
                self.plan.reload = self.seen.runtime is not None

    def _profiles(self) -> None:
        """Profiles name the zone: NetworkManager moves an interface whose profile names none to the default zone, whatever zones bind."""
        for profile in self.seen.profiles:
            zone, former = self.home.get(profile.device), self.remembered.get(profile.uuid)
            if zone is None and former is None and profile.zone not in OURS:
                continue
            wanted = zone if zone is not None else (former or {}).get("zone")
            if zone is not None:
                self.keep[profile.uuid] = former or {"zone": None if profile.zone in OURS else profile.zone}
            elif profile.zone not in OURS:
                # The operator has chosen another one since.
                continue
            if profile.zone == wanted:
                continue
            if not profile.path:
                self.plan.faults.append(
                    f"{profile.device}: profile {profile.name} is not stored below /etc, so that it cannot name a zone for good. "
                    f"Fix: nmcli connection modify {profile.uuid} connection.zone {wanted or 'ZONE'}"
                )
                continue
            self.plan.files[profile.path] = with_zone(profile, wanted)
            self._touch(profile)

    def _touch(self, profile: Profile) -> None:
        self.plan.touched[profile.path] = profile.uuid
        self.plan.manager = True

    def _operator(self) -> None:
        """Take interfaces from zones of the operator's, with consent, and give them back when they are not wanted any more."""
        for path, content in self.seen.files.items():
            if not path.startswith(firewalld.ZONES) or path in firewalld.OWN_ZONES.values():
                continue
            own, after = dict(self.taken.get(path, {})), content
            for name in firewalld.bound(content):
                if name in self.home:
                    self._ask(f"{name} is bound by {path}", "remove it there, or")
                    after = firewalld.without(after, name)
                    own.setdefault("interfaces", []).append(name)
                    own.setdefault("before", base64.b64encode(content).decode())
            back = [name for name in own.get("interfaces", []) if name not in self.home]
            for name in back:
                after = firewalld.binding(after, name)
            kept = [name for name in own.get("interfaces", []) if name in self.home]
            if back and not kept and base64.b64encode(content).decode() == own.get("after"):
                after = base64.b64decode(own["before"])
            if kept:
                written = base64.b64encode(after).decode() if after != content else own["after"]
                self.keep_taken[path] = {"interfaces": sorted(set(kept)), "before": own["before"], "after": written}
            if after != content:
                self.plan.files[path] = after
                self.plan.reload = self.seen.runtime is not None

    def _ask(self, what: str, how: str) -> None:
        if not self.wanted.take:
            self.plan.faults.append(f"network_firewall_take: {what}. Fix: {how} {TAKE}")

    def _consent(self, name: str) -> None:
        """Ask where an interface is the operator's by what runs or by its profile, or in a default zone that lets in more."""
        profile, now = self.profiles.get(name), firewalld.zone_of(self.runtime, name)
        named = profile.zone if profile else None
        if named is not None and named not in OURS:
            self._ask(f"profile {profile.name if profile else ''} puts {name} into zone {named}", "remove connection.zone there, or")
        elif now in ("", self.seen.default_zone):
            more = firewalld.extras(self.runtime[self.seen.default_zone]) if self.seen.default_zone in self.runtime else []
            if more:
                self._ask(
                    f"{name} is in the default zone {now or self.seen.default_zone}, which also lets in {'; '.join(more)}: "
                    "that would be closed on it",
                    "name what must stay open in network_firewall_also, and",
                )
        elif now not in OURS and not any(name in firewalld.bound(content) for content in self.seen.files.values()):
            self._ask(f"{name} is in zone {now} at run time", f"firewall-cmd --zone={now} --remove-interface={name}, or")

    def _live(self) -> None:
        for name, zone in self.home.items():
            if firewalld.zone_of(self.runtime, name) != zone:
                self._consent(name)
                self.plan.moves[name] = zone
                if name in self.profiles and self.profiles[name].path:
                    self._touch(self.profiles[name])
        for wanted in self.zones.values():
            now = self.runtime.get(wanted.name)
            if now is None or now.rich != tuple(sorted(firewalld.rich(wanted))):
                self.plan.reload = True
        for name in OURS:
            row = self.runtime.get(name)
            if row is None:
                continue
            if name not in {zone.name for zone in self.zones.values()}:
                self.plan.reload = True
            elif self.wanted.present:
                self.plan.leaves.update({old: name for old in row.interfaces if self.home.get(old) is None})


def build(wanted: Wanted, seen: Seen) -> Plan:
    """Return what makes a host what is wanted."""
    plan = Plan()
    found: Dict[str, Zone] = {}
    if wanted.present:
        found, faults, plan.notes = zones.zones(wanted, seen.host)
        plan.faults += faults
    by_firewalld = wanted.provider == FIREWALLD
    if wanted.present and by_firewalld and seen.runtime is None:
        plan.faults.append(
            "network_firewall_provider: firewalld does not run on this host. Fix: install and start it, or set "
            "network_firewall_provider: nftables"
        )
    part = _Firewalld(wanted, seen, found if by_firewalld else {}, plan)
    part.make()
    planning_table.plan_table(wanted, seen, {} if by_firewalld else found, plan)
    if wanted.present:
        plan.record = {"version": VERSION, "provider": wanted.provider, "profiles": part.keep, "taken": part.keep_taken}
    return plan


def lost(stored: Mapping[str, Any], seen: Seen) -> List[str]:
    """Return the zones of the operator that have something at run time only, which a reload would take away.

    :param stored: the zones as their files have them.
    """
    found = []
    for name, row in (seen.runtime or {}).items():
        other = stored.get(name)
        if name in OURS or (other is not None and (row.opened, row.rich, row.target) == (other.opened, other.rich, other.target)):
            continue
        found.append(
            f"zone {name} of firewalld has rules at run time that are not stored, and a reload would lose them. "
            "Fix: firewall-cmd --runtime-to-permanent, or firewall-cmd --reload"
        )
    return found
