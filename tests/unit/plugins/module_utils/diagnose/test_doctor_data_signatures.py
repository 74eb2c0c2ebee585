# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's data as data: complete, named after what exists, and free of what belongs to one sample."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, diagnosis, origin
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.blocks import BEHIND
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs

ROOT = Path(__file__).resolve().parents[5]
LOADED = catalogue.load()
SIGNATURES = sorted(LOADED.signatures)
GUIDE = Path(os.environ.get("RAILYARD_SHARED") or ROOT.parent / "shared") / "seeds/sglang-installer.txt"
RULE = re.compile(r"^\| `([a-z]+\.[a-z0-9-]+)` \|", re.M)
VARIABLE = re.compile(r"\b(?:sglang|network|preflight|rdma|engine|stack|model|router|verify|fabric)_[a-z_]*[a-z]\b")
# Words of that form that are no variables: attributes and arguments that patterns and texts quote, and a module.
NO_VARIABLES = {"rdma_facts", "engine_rank"}
# Of one sample: an address, a time of day, a process id or port, an address in memory. The test address that sglang itself dials is none.
SAMPLE = {
    "IPv4 address": re.compile(r"\b(?!8(?:\\?\.8){3})\d{1,3}(?:\\?\.\d{1,3}){3}\b"),
    "time": re.compile(r"\b\d\d:\d\d\b"),
    "long number": re.compile(r"(?<![\w{,])\d{4,}"),
    "hexadecimal number": re.compile(r"0x[0-9a-f]{4,}"),
}


def rules() -> set[str]:
    """Return the ids of all rules of the plan, of host checks and of the comparison of hosts, as documented."""
    return {
        rule
        for name in ("rules", "host-checks", "host-comparison")
        for rule in RULE.findall((ROOT / f"docs/{name}.md").read_text(encoding="utf-8"))
    }


def variables() -> set[str]:
    """Return the variables of inventories and of all roles."""
    found = set(re.findall(r"`([a-z][a-z0-9_]*)`", (ROOT / "docs/inventory.md").read_text(encoding="utf-8")))
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        specs = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]
        found |= {name for spec in specs.values() for name in spec.get("options", {})}
    return found


RULES = rules()
VARIABLES = variables()


def corpus_lines() -> dict[str, set[str]]:
    """Return the lines of all logs of the corpus, and the processes that wrote each."""
    found: dict[str, set[str]] = {}
    for path in doctorlogs.CORPUS.rglob("*"):
        if path.is_file() and path.name != "case.toml":
            base = origin.of_file(path.name)
            for line in path.read_text(encoding="utf-8").splitlines():
                found.setdefault(line, set()).add(origin.of_line(base, origin.take_apart(line)).process)
    return found


LINES = corpus_lines()
# What long lines are made of: the literal again and again, addresses and ports, lists of numbers, quotes, brackets, spaces, one word.
SHAPES = (
    "{} a,b:1 ",
    "{}x",
    "{}1",
    "{}1:",
    "{} bind [1.1.1.1]:22 1:1:",
    "{}:1.1:1.1",
    "{}host='a', port=1, ",
    "{} bootstrap /route url: ",
    "{}.so.so: ",
    "{}((((",
    "{}''\"\"",
    "{}     ",
    "{}/a/b.service: ",
)


def test_every_known_failure_has_a_signature() -> None:
    assert [f"D{number:02}" for number in range(1, 42)] == [name for name in SIGNATURES if name.startswith("D")]


@pytest.mark.parametrize("name", [name for name in SIGNATURES if name.startswith("D")])
def test_a_known_failure_names_where_it_is_known_from(name: str) -> None:
    sources = LOADED.signatures[name].sources
    assert f"failures {name}" in sources
    assert len(sources) > 1


@pytest.mark.parametrize("name", SIGNATURES)
def test_texts_are_sentences(name: str) -> None:
    signature = LOADED.signatures[name]
    assert signature.title[0].isupper() or signature.title.startswith("{")
    for text in (signature.cause, signature.fix):
        assert text.endswith(".")
        assert len(text) > 30


@pytest.mark.parametrize("name", SIGNATURES)
def test_rules_of_probes_exist(name: str) -> None:
    assert not set(LOADED.signatures[name].probe.rules) - RULES


@pytest.mark.parametrize("name", SIGNATURES)
def test_variables_exist(name: str) -> None:
    signature = LOADED.signatures[name]
    texts = f"{signature.cause} {signature.fix}"
    named = set(VARIABLE.findall(texts)) - NO_VARIABLES
    assert not named - VARIABLES
    assert not set(signature.variables) - VARIABLES
    assert not named - set(signature.variables) - {"sglang_root"}


@pytest.mark.parametrize("name", SIGNATURES)
def test_nothing_of_one_sample(name: str) -> None:
    for match in LOADED.signatures[name].matches:
        unless = match.unless.pattern if match.unless is not None else ""
        for kind, pattern in SAMPLE.items():
            for text in (*match.literals, match.pattern.pattern, unless):
                assert not pattern.search(text), f"{kind} in {text}"


@pytest.mark.parametrize("name", [name for name in SIGNATURES if LOADED.signatures[name].matches])
def test_every_wording_has_a_line(name: str) -> None:
    silent = [
        literal
        for match in LOADED.signatures[name].matches
        for literal in match.literals
        if not any(literal in line and match.search(line) and suits(name, processes) for line, processes in LINES.items())
    ]
    assert not silent


def suits(name: str, processes: set[str]) -> bool:
    """Return whether a signature is looked for in what one of some processes writes."""
    wanted = LOADED.signatures[name].processes
    return any(diagnosis.suits(wanted, process) for process in processes)


def test_a_line_of_another_process_does_not_suit() -> None:
    assert suits("D30", {"kernel"})
    assert not suits("L47", {"kernel"})
    assert suits("L29", {"other"})


@pytest.mark.parametrize("name", [name for name in SIGNATURES if LOADED.signatures[name].matches])
def test_what_a_pattern_finds_holds_a_literal(name: str) -> None:
    """Otherwise the line is never looked at."""
    for match in LOADED.signatures[name].matches:
        for line in LINES:
            assert not match.search(line) or any(literal in line for other in LOADED.signatures[name].matches for literal in other.literals)


@pytest.mark.parametrize("name", [name for name in SIGNATURES if LOADED.signatures[name].matches])
def test_a_long_line_costs_little(name: str) -> None:
    for match in LOADED.signatures[name].matches:
        for literal in match.literals:
            begun = time.process_time()
            # Its own words first, so that it gets as far as it can.
            words = " ".join(re.findall(r"(?<!\\)[A-Za-z]{3,}", match.pattern.pattern))[:400] + " "
            for shape in SHAPES:
                match.search((words + shape.format("") * BEHIND)[:BEHIND] + literal)
                match.search((shape.format(literal) * BEHIND)[:BEHIND] + literal)
                match.search(literal + (shape.format("") * BEHIND)[: BEHIND - len(literal)])
            # Some milliseconds; a pattern that tries every way to part the line takes a minute.
            assert time.process_time() - begun < len(SHAPES) * 0.15


def test_a_bad_pattern_would_be_seen() -> None:
    begun = time.process_time()
    re.search(r"(?:x+x+)+y", "x" * 26)
    assert time.process_time() - begun > 1


def test_the_guide_has_its_entries() -> None:
    assert [f"G{number:02}" for number in range(1, 22)] == sorted(LOADED.guide)


@pytest.mark.parametrize("name", sorted(LOADED.guide))
def test_an_entry_of_the_guide_is_found_or_refused(name: str) -> None:
    entry = LOADED.guide[name]
    assert entry.signatures or entry.rules
    assert not set(entry.rules) - RULES


def test_the_guide_names_no_other_error() -> None:
    """Its headings, and the two errors in its section on the registration of memory."""
    if not GUIDE.is_file():
        pytest.skip("the source documents are not here: RAILYARD_SHARED names their directory")
    headings = re.findall(r"^### (Error: .*|.*Errors\b.*)$", GUIDE.read_text(encoding="utf-8"), re.M)
    assert len(headings) + 1 == len(LOADED.guide), headings
