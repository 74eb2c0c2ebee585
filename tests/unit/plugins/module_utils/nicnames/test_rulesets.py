# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables rules of host_firewall follow the names, and are what it would write itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import nft
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import FABRIC, MANAGEMENT, Rule, Zone
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import references, rulesetfile, rulesets

RULE = Rule(0, None, "", "tcp", "22", "SSH of ens1, railyard DIGEST")
NAMES = {"ens1": "roce9", "ens2": "ens1", "mgmt0": "adm0"}


def text(fabric: tuple[str, ...], management: tuple[str, ...]) -> bytes:
    return nft.text({FABRIC: Zone(FABRIC, fabric, (RULE,)), MANAGEMENT: Zone(MANAGEMENT, management, (RULE,))})


BEFORE, AFTER = text(("ens1", "ens11", "ens2"), ("mgmt0",)), text(("ens1", "ens11", "roce9"), ("adm0",))


def test_it_is_the_file_of_host_firewall() -> None:
    assert rulesets.PATH == nft.PATH
    assert rulesets.TABLE == [nft.FAMILY, nft.TABLE]
    assert rulesetfile.MARK in nft.MARK
    assert rulesets.PATH in references.PATTERNS


def test_all_names_at_once_with_the_mark_that_tells_what_is_loaded() -> None:
    found = references.rewrite(rulesets.PATH, BEFORE, NAMES)
    assert (found.path, found.content, found.unclear) == (rulesets.PATH, AFTER, ())
    assert references.rewrite(rulesets.PATH, found.content, {new: old for old, new in NAMES.items()}).content == BEFORE


def test_without_any_of_the_names_not_a_byte_changes() -> None:
    assert references.rewrite(rulesets.PATH, BEFORE, {"ens9": "roce9", "fabric": "roce1", "SSH": "roce2"}).content == BEFORE


def test_rules_that_were_changed_by_hand_keep_their_mark_and_order() -> None:
    edited = BEFORE.replace(b'"ens1", "ens11", "ens2"', b'"ens2", "ens1"').replace(b"dport 22", b"dport 23")
    wanted = edited.replace(b'"ens2", "ens1"', b'"ens1", "roce9"').replace(b'"mgmt0"', b'"adm0"')
    assert references.rewrite(rulesets.PATH, edited, NAMES).content == wanted


def test_a_file_of_somebody_else_is_told() -> None:
    content = b'# ens1\ntable inet x {\n  chain input {\n    iifname "ens1" drop\n  }\n}\n'
    found = references.rewrite(rulesets.PATH, content, NAMES)
    assert found.content == content
    assert [(row.line, row.name) for row in found.unclear] == [(4, "ens1")]


def test_a_vlan_of_a_name_is_told() -> None:
    found = references.rewrite(rulesets.PATH, text(("ens1.100",), ("mgmt0",)), NAMES)
    assert [row.name for row in found.unclear] == ["ens1"]
    assert b'"ens1.100"' in found.content


def test_rules_for_the_names_before_and_after() -> None:
    found = rulesets.widened(AFTER.decode(), NAMES)
    assert 'iifname { "ens1", "ens11", "ens2", "roce9" } jump' in found
    assert 'iifname { "adm0", "mgmt0" } jump' in found
    assert rulesets.widened(found, NAMES) == found


def test_rules_for_both_names_are_loaded_before_a_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rulesets, "PATH", str(tmp_path / "rules"))
    (tmp_path / "rules").write_bytes(AFTER)
    asked: list[list[str]] = []

    def run(words: list[str]) -> tuple[int, str, str]:
        asked.append(words)
        return 0, "", ""

    place = tmp_path / "both"
    assert rulesets.widen(run, [rulesets.PATH], NAMES, str(place)) == []
    assert asked[1:] == [["nft", "-f", str(place)]]
    assert (place.read_text(), place.stat().st_mode & 0o777) == (rulesets.widened(AFTER.decode(), NAMES), 0o600)
    assert rulesets.widen(lambda _words: (1, "", "no table"), [rulesets.PATH], NAMES, str(place)) == []
    assert rulesets.widen(run, [], NAMES, str(place)) == []


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft")
def test_nft_takes_rules_for_both_names(tmp_path: Path) -> None:
    path = tmp_path / "both"
    path.write_text(rulesets.widened(AFTER.decode().replace("railyard DIGEST", "railyard 0"), NAMES))
    done = subprocess.run(["unshare", "--net", "nft", "-f", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("changed", "there", "failing", "commands", "faults"),
    [
        ([rulesets.PATH], True, False, 2, 0),
        ([rulesets.PATH], True, True, 2, 1),
        ([rulesets.PATH], False, False, 1, 0),
        (["/etc/sysctl.conf"], True, False, 0, 0),
    ],
)
def test_loaded_rules_are_loaded_anew(changed: list[str], there: bool, failing: bool, commands: int, faults: int) -> None:
    asked: list[list[str]] = []

    def run(words: list[str]) -> tuple[int, str, str]:
        asked.append(words)
        return (0, "", "") if (there if words[1] == "list" else not failing) else (1, "", "Error:\n no such thing")

    found = rulesets.reload(run, changed)
    assert (len(asked), len(found)) == (commands, faults)
    assert [row for row in found if "Error: no such thing" in row] == found
    assert asked[1:] in ([], [["nft", "-f", rulesets.PATH]])
