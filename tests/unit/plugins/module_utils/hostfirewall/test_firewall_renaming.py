# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter is not changed while a renaming is open; what the module does then is in test_firewall_live.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import renaming
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import journal
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import Journal


def test_it_is_what_nic_names_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"{journal.PENDING}/journal.json" == renaming.PATH
    for name in ("STATE", "DIRECTORY", "PENDING", "UNDONE"):
        monkeypatch.setattr(journal, name, f"{tmp_path}{getattr(journal, name)}")
    (tmp_path / "var/lib").mkdir(parents=True)
    assert renaming.faults(str(tmp_path)) == []
    journal.begin(Journal("0a1b2c3d4e5f", "boot", 180))
    (fault,) = renaming.faults(str(tmp_path))
    assert fault.startswith("this host has an open change 0a1b2c3d4e5f of its names of interfaces (nic_names)")
    assert "Fix: run stage network again once it is confirmed or undone, which is network_confirm_seconds after it" in fault
    journal.end()
    assert renaming.faults(str(tmp_path)) == []


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"version": 1})])
def test_one_that_cannot_be_read_is_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / renaming.PATH[1:]
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert "open change (unknown) of its names" in renaming.faults(str(tmp_path))[0]
