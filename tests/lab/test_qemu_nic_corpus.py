# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NetworkManager's own reading of keyfiles of every type of connection, before and after they get other names: the same but for the names.

The nmcli of each generation reads all of them in one go, on the virtual machine that has it.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from nickit import HOST, NicLab

from ansible_collections.railyard.sglang.tests.unit.support import keyfiles

pytestmark = [pytest.mark.lab, pytest.mark.full]

PLACE = "/run/railyard-corpus"
SUITES = ("before", "after")
#: Types of connection that a release does not know yet, by the names of their files. Everything else it has to read.
UNKNOWN = {"bookworm": {"hsr", "ipvlan"}, "trixie": set()}
REFUSED = "invalid connection type"


def test_network_manager_reads_the_same_but_for_the_names(nics: NicLab, tmp_path: Path) -> None:
    for suite, content_of in zip(SUITES, (keyfiles.read, keyfiles.renamed)):
        for name in keyfiles.CHANGED:
            (tmp_path / suite).mkdir(exist_ok=True)
            (tmp_path / suite / name).write_bytes(content_of(name))
    program = "nmcli_reads.py"
    files = {suite: tmp_path / suite for suite in SUITES} | {program: Path(__file__).parent / "files" / program}
    nics.ask(f"rm -rf {PLACE}")
    nics.put(HOST, files, PLACE)
    # Some seconds each on a machine that is shared, where a start of nmcli is most of it.
    found = {
        suite: json.loads(nics.ask(f"python3 {PLACE}/{program} {PLACE}/{suite} {shlex.join(keyfiles.NMCLI)}", seconds=900))
        for suite in SUITES
    }
    nics.ask(f"rm -rf {PLACE}")
    unknown = {name for name, (_rc, _out, errors) in found["before"].items() if REFUSED in errors}
    assert unknown <= UNKNOWN[nics.generation.suite], unknown
    known = sorted(set(keyfiles.CHANGED) - unknown)
    refused = {f"{suite} {name}": rows[name] for suite, rows in found.items() for name in known if rows[name][0] != 0}
    assert not refused, json.dumps(refused, indent=1)
    faults = [
        keyfiles.wrong(name, *(keyfiles.settings_of(found[suite][name][1]) for suite in SUITES)) for name in known
    ]
    assert [fault for fault in faults if fault] == []
    nics.record("keyfiles read by nmcli", len(known))
