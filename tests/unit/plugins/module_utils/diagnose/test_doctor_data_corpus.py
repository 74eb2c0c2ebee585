# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The corpus against the signatures: what is found does not hang on names and numbers of the sample."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, origin, standing
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs

LOADED = catalogue.load()
CASES = sorted(path.parent.name for path in doctorlogs.CORPUS.glob("*/case.toml"))
OTHER = "variant-other"
EXPECTED = {case: doctorlogs.case(doctorlogs.CORPUS / case)["expect"] for case in CASES}
HOSTS = {"p0": "gpu-a17", "p1": "gpu-a18", "d0": "rack3-node04", "d1": "rack3-node05", "r0": "edge.example.net"}
HOST = re.compile(r"(?<![\w.:/-])(p0|p1|d0|d1|r0)(?=[ :])")
# Every documentation address to another one, in another order.
ADDRESS = re.compile(r"\b(203\.0\.113|198\.51\.100)\.(\d{1,3})\b")
NETWORKS = {"203.0.113": "198.51.100", "198.51.100": "203.0.113"}
PID = re.compile(r"(?<=\[)(?:512|41877)(?=\]: )")
MEMORY = re.compile(r"\b0x[0-9a-f]{6,}\b")
ROOM = re.compile(r"\b(?:5120349981523340217|77120934)\b")
PORTS = {
    "30000": "32100",
    "30001": "32200",
    "8998": "9555",
    "8000": "8443",
    "15683": "15999",
    "16320": "16001",
    "40112": "51000",
    "5000": "7000",
}
_KNOWN = "|".join(PORTS)
PORT = re.compile(rf"(?:(?<=[:=])|(?<=': ))({_KNOWN})\b|(?<=Some\()({_KNOWN})(?=\))|(?<=, )(30000|30001)(?=\)[:,])")


def renamed(text: str) -> str:
    """Return logs as another cluster would have written them: hosts, addresses, ports, processes, memory and rooms have other names."""
    text = HOST.sub(lambda match: HOSTS[match[1]], text)
    text = ADDRESS.sub(lambda match: f"{NETWORKS[match[1]]}.{(int(match[2]) * 7 + 3) % 251 + 2}", text)
    text = PORT.sub(lambda match: PORTS[match[0]], text)
    text = PID.sub("90210", text)
    text = ROOM.sub("3141592653589793238", text)
    return MEMORY.sub(lambda match: f"0x{int(match[0], 16) ^ 0x5A5A5A000:x}", text)


def found(folder: Path) -> tuple[list[str], str, dict[str, str]]:
    """Return the ids above a note in order, the host of the first one, and what follows from what."""
    result = doctorlogs.diagnosed(folder, LOADED)
    counting = [finding for finding in result.findings if finding.severity != catalogue.NOTE]
    return [finding.id for finding in counting], counting[0].host if counting else "", {finding.id: finding.parent for finding in counting}


def check(case: str, folder: Path, hosts: dict[str, str]) -> None:
    """Compare a diagnosis with what is expected of a case."""
    expected = EXPECTED[case]
    ids, host, parents = found(folder)
    assert sorted(ids) == sorted(expected["findings"])
    assert (ids or [""])[0] == expected["first"]
    if "host" in expected:
        assert host == hosts.get(expected["host"], expected["host"])
    for name, parent in expected.get("causes", {}).items():
        assert parents[name] == parent


def evidence() -> dict[str, list[str]]:
    """Return for each signature the cases and variants that it must be found in."""
    places: dict[str, list[str]] = {}
    for case in CASES:
        variants = [case, *(f"{case}/{path.name}" for path in (doctorlogs.CORPUS / case).glob("variant-*"))]
        for name in EXPECTED[case]["findings"]:
            places.setdefault(name, []).extend(variants)
    return places


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) > 150
    assert sum(1 for case in CASES if not EXPECTED[case]["findings"]) >= 4


@pytest.mark.parametrize("case", CASES)
def test_other_names_and_numbers(case: str, tmp_path: Path) -> None:
    target = tmp_path / "logs"
    target.mkdir()
    for path in doctorlogs.logs(doctorlogs.CORPUS / case):
        text = path.read_text(encoding="utf-8")
        changed = renamed(text)
        assert changed != text or case.startswith(("pip", "field", "wording"))
        name = HOST.sub(lambda match: HOSTS[match[1]], path.name.replace("-kernel", " kernel")).replace(" kernel", "-kernel")
        (target / name).write_text(changed, encoding="utf-8")
    check(case, target, HOSTS)


def test_no_signature_is_known_by_one_sample_only() -> None:
    """Leave one out: each is found in logs in other words, prefixes, addresses and numbers as well.

    That it is found there, the test above and the runner of the corpus show.
    """
    lonely = {name for name, places in evidence().items() if len(places) < 2}
    assert not lonely


# What differs from run to run: addresses in memory and long identifiers, hosts, numbers, the paths of packages.
VOLATILE = (
    (re.compile(r"^(?:\[[^\]]*\] ?|[IWEF]\d{4,8} [\d:.]+ +\d+ )+"), ""),
    (re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{12,}\b"), "#"),
    (re.compile(r"\b(?:p0|p1|d0|d1|r0)\b"), "host"),
    (re.compile(r"/\S*/(?=[^/\s]+)"), "/"),
    (re.compile(r"\d+"), "0"),
)


def told(folder: Path, signatures: Sequence[catalogue.Signature]) -> set[str]:
    """Return the lines in which signatures show, without times, prefixes, hosts and numbers."""
    found = set()
    for path in doctorlogs.logs(folder):
        for line in path.read_text(encoding="utf-8").splitlines():
            if any(match.search(line) for signature in signatures for match in signature.matches):
                text = origin.take_apart(line).text
                for pattern, instead in VOLATILE:
                    text = pattern.sub(instead, text)
                found.add(text)
    return found


@pytest.mark.parametrize("case", [case for case in CASES if (doctorlogs.CORPUS / case / OTHER).is_dir() and EXPECTED[case]["findings"]])
def test_a_variant_is_another_telling(case: str) -> None:
    """Programs have one text for most things; what a variant says of a case is not all the same as what the sample says."""
    signatures = [LOADED.signatures[name] for name in EXPECTED[case]["findings"]]
    sample, variant = told(doctorlogs.CORPUS / case, signatures), told(doctorlogs.CORPUS / case / OTHER, signatures)
    # There a number is what is told.
    assert not sample or sample != variant or "D38" in EXPECTED[case]["findings"]


def test_numbers_and_names_are_no_other_telling(tmp_path: Path) -> None:
    """The comparison would see it."""
    folder = doctorlogs.CORPUS / "two-networks"
    target = tmp_path / "logs"
    target.mkdir()
    for path in doctorlogs.logs(folder):
        (target / path.name).write_text(renamed(path.read_text(encoding="utf-8")), encoding="utf-8")
    signatures = [LOADED.signatures[name] for name in EXPECTED["two-networks"]["findings"]]
    assert told(folder, signatures) == told(target, signatures)


def test_notes_are_notes(tmp_path: Path) -> None:
    result = doctorlogs.diagnosed(doctorlogs.copied(doctorlogs.CORPUS / "healthy-notes", tmp_path / "logs"), LOADED)
    assert {"D16", "G01", "G19"} <= {finding.id for finding in result.findings if finding.severity == catalogue.NOTE}
    assert result.first is None
    later = doctorlogs.diagnosed(doctorlogs.copied(doctorlogs.CORPUS / "healthy-0523", tmp_path / "later"), LOADED)
    assert "L60" in {finding.id for finding in later.findings if finding.severity == catalogue.NOTE}
    assert later.first is None


def test_every_signature_is_in_the_corpus() -> None:
    seen = {name for case in CASES for name in EXPECTED[case]["findings"]}
    # Found from the states of units and hosts, not in logs.
    seen |= {standing.STOPPED, standing.FAILED, standing.UNREACHABLE, standing.FILTERED, standing.HANGS, standing.OFF}
    never = {name for name, signature in LOADED.signatures.items() if signature.severity != catalogue.NOTE and not signature.no_log} - seen
    assert not never


def test_what_is_not_from_a_lab_says_so() -> None:
    for case in CASES:
        told = doctorlogs.case(doctorlogs.CORPUS / case)
        assert told["origin"] in ("lab", "written", "field")
        assert told["origin"] == "lab" or told["based_on"]
