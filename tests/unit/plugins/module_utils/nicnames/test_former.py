# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is planned while a transaction is open is what is planned once it is undone: check mode is exact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import former, journal, look, planned
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.files import Image
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import Journal, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.plan import build
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Plan, Seen, Wanted, WantedNic
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import (
    CONNECTIONS,
    card,
    carried_out,
    good,
    host,
    keyfile,
    mac,
    rails,
    wanted,
)

EIGHT = {number: f"roce{number}" for number in range(8)}
TURNED = {number: f"roce{7 - number}" for number in range(8)}


def eight() -> Seen:
    """Return a host whose profiles have UUIDs of their own, as real ones do."""
    cards = rails()
    uuids = {nic.name: f"7c1b6f0e-0000-4000-8000-{nic.index:012}" for nic in cards}
    return host(cards, {f"{CONNECTIONS}/{name}.nmconnection": keyfile(name, uuid=uuid) for name, uuid in uuids.items()})


def opened_by(before: Seen, plan: Plan) -> Journal:
    """Return the journal of a plan that was carried out."""
    nics = {nic.name: nic for nic in before.nics}
    ports = [
        Port(nics[row.before].index, row.mac, row.pci, row.before, row.after, mtu=nics[row.before].mtu if row.after in plan.mtus else None)
        for row in plan.rows if row.before != row.after or row.after in plan.mtus
    ]
    files = {change.path: Image(change.before, before.modes.get(change.path, 0o644)) for change in plan.files}
    rdma = {str(number): {"before": old, "after": new} for number, (old, new) in enumerate(plan.rdma.items())}
    return Journal("c0ffee", "boot", 180, ports=ports, files=files, rdma=rdma)


def bonded() -> Seen:
    cards = [replace(card(number, f"ens{number}", rdma=(f"mlx5_{number}",)), master="bond0") for number in range(2)]
    bond = replace(cards[0], name="bond0", index=9, permanent_mac="", pci="", driver="", kind="bond", master="", lower=("ens0", "ens1"))
    bond = replace(bond, rdma=())
    files = {f"{CONNECTIONS}/bond0.nmconnection": keyfile("bond0", "[bond]", "primary=ens0", kind="bond")}
    return host([*cards, bond], files)


def single() -> Seen:
    return host([card(number, f"ens{number}", rdma=(f"mlx5_{number}",)) for number in range(2)])


def some(mtu: int | None, text: str = "mlx5_rail{}") -> Wanted:
    rows = [WantedNic(f"roce{number}", mac=mac(number), mtu=mtu, rdma=text.format(number)) for number in range(2)]
    return Wanted(nics=tuple(rows))


CASES = [
    pytest.param(eight(), wanted(EIGHT), wanted(TURNED), id="eight"),
    pytest.param(eight(), wanted(EIGHT), Wanted(present=False), id="absent"),
    pytest.param(bonded(), some(None), some(None, "mlx5_port{}"), id="bond and RDMA"),
    pytest.param(single(), some(9000), some(4200), id="MTU and RDMA"),
]


@pytest.mark.parametrize("same_boot", [True, False])
@pytest.mark.parametrize(("before", "first", "second"), CASES)
def test_the_host_of_before(before: Seen, first: Wanted, second: Wanted, same_boot: bool) -> None:
    plan = good(before, first)
    opened = opened_by(before, plan)
    now = carried_out(before, plan)
    if not same_boot:
        now = replace(now, nics=tuple(replace(nic, index=nic.index + 40) for nic in now.nics))
    found = former.seen_of(now, opened, same_boot)
    assert (found.files, found.record) == (before.files, before.record)
    assert [replace(nic, index=0) for nic in found.nics] == [replace(nic, index=0) for nic in before.nics]
    assert sorted(found.profiles, key=lambda row: row.path) == sorted(before.profiles, key=lambda row: row.path)
    wanted_now, expected = build(found, second), build(before, second)
    for part in ("files", "renames", "mtus", "rdma", "faults", "record", "names"):
        assert getattr(wanted_now, part) == getattr(expected, part), part


def test_interfaces_are_asked_for_by_their_former_names() -> None:
    before = eight()
    plan = good(before, wanted(EIGHT))
    asked = Wanted(rails={0: "roce0", 1: "other"}, carries=("roce7", "mgmt0"))
    found = former.wanted_of(asked, carried_out(before, plan), opened_by(before, plan), True)
    assert (found.rails, found.carries) == ({0: "enp16s0f0np0", 1: "other"}, ("enp23s0f0np0", "mgmt0"))


def test_a_prospect_with_an_open_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = eight()
    plan = good(before, wanted(EIGHT))
    now = carried_out(before, plan)
    monkeypatch.setattr(journal, "DIRECTORY", str(tmp_path / "names"))
    monkeypatch.setattr(journal, "PENDING", str(tmp_path / "names/pending"))
    journal.begin(replace(opened_by(before, plan), boot=journal.boot_id()))
    journal.reach(journal.APPLIED)
    monkeypatch.setattr(look, "seen", lambda _root, _run: now)

    def run(_words: list[str]) -> tuple[int, str, str]:
        return 127, "", ""

    found = planned.prospect("/", run, wanted(TURNED), consent=True)
    assert (found.superseded, found.problems, found.plan.files) == (True, [], build(before, wanted(TURNED)).files)
    assert planned.actions(found)[:2] == [planned.UNDO, "rename enp16s0f0np0 to roce7"]
    same = planned.prospect("/", run, wanted(EIGHT), consent=True)
    assert (same.superseded, same.open_transaction, same.changed) == (False, "c0ffee", False)
