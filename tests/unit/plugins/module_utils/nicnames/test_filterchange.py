# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No interface gets another name while a change of the host's filter is open."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import look, undo
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import filterchange, parameters, planned
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.planned import Prospect
from ansible_collections.railyard.sglang.tests.unit.support import railed


def ask(place: Path, **given: object) -> Prospect:
    """Return what a call would do to a host whose tree is below a directory."""
    nics = [{"name": f"roce{rail}", "rail": rail} for rail in range(2)]
    rails = {str(rail): railed.former("p1", rail) for rail in range(2)}
    wanted, faults = parameters.build({"state": "present", "nics": nics, "rails": rails, **given})
    assert faults == []
    return planned.prospect(str(place / "p1"), railed._nothing, wanted, consent=True)


def opened(root: Path, where: str) -> None:
    """Let a change of the filter be open."""
    path = root / where[1:] / "id"
    path.parent.mkdir(parents=True)
    path.write_text("3f1c0a9b52d7e684\n", encoding="ascii")


def test_they_are_the_places_of_host_firewall() -> None:
    assert filterchange.STATE == look.STATE
    assert (f"{look.PENDING}/id", f"{undo.UNDOING}/id") == filterchange.PLACES
    assert f"{filterchange.STATE}/undo.sh" == undo.SCRIPT


@pytest.mark.parametrize("where", [look.PENDING, undo.UNDOING])
def test_a_renaming_is_refused_and_nothing_else(tmp_path: Path, where: str) -> None:
    railed.write(tmp_path, "p1")
    before = ask(tmp_path)
    assert (before.changed, before.problems) == (True, [])
    opened(tmp_path / "p1", where)
    found = ask(tmp_path)
    (fault,) = found.problems
    assert fault.startswith("this host has an open change 3f1c0a9b52d7e684 of its filter (host_firewall)")
    assert "Fix: run again once it is confirmed or undone" in fault
    assert "network_firewall_confirm_seconds" in fault
    # Check mode still tells all that would be done.
    assert (found.changed, planned.actions(found)) == (True, planned.actions(before))


def test_a_host_that_has_its_names_is_not_refused(tmp_path: Path) -> None:
    railed.write(tmp_path, "p1")
    railed.done(tmp_path, "p1")
    opened(tmp_path / "p1", look.PENDING)
    nics = [{"name": f"roce{rail}", "rail": rail} for rail in range(railed.RAILS)]
    found = ask(tmp_path, nics=nics, rails={str(rail): f"roce{rail}" for rail in range(railed.RAILS)})
    assert (found.changed, found.problems) == (False, [])


def test_one_that_is_over_is_in_nobodys_way(tmp_path: Path) -> None:
    assert filterchange.faults(str(tmp_path)) == []
    opened(tmp_path, undo.CONFIRMED)
    (tmp_path / undo.UNDONE[1:]).write_text("3f1c0a9b52d7e684\n", encoding="ascii")
    assert filterchange.faults(f"{tmp_path}/") == []
