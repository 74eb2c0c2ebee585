# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every launch line and every exported variable of the source documents is reproduced by an inventory, or refused with a reason."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.launch import catalogue
from ansible_collections.railyard.sglang.tests.unit.support import documented, inventories, seeds

# The source documents are not in the repository.
SHARED = Path(os.environ.get("RAILYARD_SHARED") or inventories.ROOT.parent / "shared")
SEEDS = sorted(path for path in (SHARED / "seeds").glob("*") if path.name != "README.md")
REFUSED = yaml.safe_load((Path(__file__).parent / "refused.yml").read_text(encoding="utf-8"))
LINES = [line for path in documented.files() for line in documented.lines(path.stem)]
# A line that starts a program, found in another way than the one that is tested.
STARTS = re.compile(r"(?:-m +|- )sglang(?:_router)?\.(?:launch_server|launch_router|compile_deep_gemm)\b|^vllm serve")
ASSIGNED = re.compile(r"\b([A-Z][A-Z0-9_]+)=(\S+)")
SOURCES = [pytest.param(path, id=path.name) for path in SEEDS] or [pytest.param(None, marks=pytest.mark.skip("no source documents"))]


@pytest.mark.parametrize("path", SOURCES)
def test_every_launch_line_is_reproduced_or_refused(path: Path) -> None:
    found = seeds.starts(path)
    text = path.read_text(encoding="utf-8")
    assert len(found) == len([line for line in text.splitlines() if STARTS.search(line) and "`" not in line])
    reproduced = {line.words for line in LINES if line.document == path.name}
    refused = {(row["program"], tuple(shlex.split(row["words"]))) for row in REFUSED["lines"] if row["document"] == path.name}
    missing = [row for row in found if row.words not in reproduced and (row.program, row.words) not in refused]
    assert not missing, missing
    assert refused <= {(row.program, row.words) for row in found}


@pytest.mark.parametrize("path", SOURCES)
def test_documented_lines_are_the_documents_own(path: Path) -> None:
    found = seeds.starts(path)
    exported = seeds.exports(path)
    if path.name.startswith("field"):
        text = path.read_text(encoding="utf-8")
        exported |= set(ASSIGNED.findall(text[text.index("Environment of every rank"): text.index("prefill, two hosts")]))
    for line in LINES:
        if line.document != path.name or line.implied:
            continue
        own = [row for row in found if row.words == line.words]
        assert own, f"{line.inventory} {line.source} is not in the document"
        written = {(name, value) for row in own for name, value in row.environment.items()}
        assert written <= set(line.environment.items()), f"{line.inventory} {line.source}"
        assert set(line.environment.items()) <= written | exported, f"{line.inventory} {line.source}"


@pytest.mark.parametrize("path", SOURCES)
def test_every_export_is_reproduced_or_refused(path: Path) -> None:
    reproduced = {(name, value) for line in LINES if line.document == path.name for name, value in line.environment.items()}
    optional = {(row["name"], row["value"]) for row in REFUSED["optional"]}
    refused = {row["name"] for row in REFUSED["exports"]}
    missing = {row for row in seeds.exports(path) if row not in reproduced | optional and row[0] not in refused}
    assert not missing, missing


def _findings(inventory: str, name: str, value: str) -> set[str]:
    return inventories.said(inventories.findings(inventory, {f"sglang_env.{name}": value}))


@pytest.mark.parametrize("row", [row for row in REFUSED["exports"] if "rule" in row], ids=lambda row: row["name"])
def test_refused_variables_are_found(row: dict[str, Any]) -> None:
    found = _findings("b200-1p1d-eplb", row["name"], "1")
    assert {f"{catalogue.ERROR} {row['rule']}", f"{catalogue.WARNING} {row['rule']}"} & found, found


@pytest.mark.parametrize("row", REFUSED["optional"], ids=lambda row: row["name"])
def test_optional_variables_are_taken(row: dict[str, Any]) -> None:
    before = inventories.said(inventories.findings(row["inventory"]))
    assert _findings(row["inventory"], row["name"], row["value"]) == before


@pytest.mark.parametrize("row", [row for row in REFUSED["lines"] if "flags" in row], ids=lambda row: row["program"])
def test_flags_of_refused_lines_are_found(row: dict[str, Any]) -> None:
    for name, value in row["flags"].items():
        found = {finding.rule for finding in inventories.findings("qwen-one-host", {f"sglang_args.{name}": value})}
        assert found & set(row["rules"]), (name, found)


def test_every_refusal_has_a_reason() -> None:
    assert all(str(row["reason"]).strip() for row in REFUSED["lines"] + REFUSED["exports"])


@pytest.mark.parametrize(
    ("text", "words", "environment"),
    [
        ("NCCL_DEBUG=WARN A_B=1 \\\npython3 -m sglang.launch_server \\\n  --port 1 \\\n  --tp 2 2>&1 | tee x", ("--port", "1", "--tp", "2"),
         {"NCCL_DEBUG": "WARN", "A_B": "1"}),
        ("python -m sglang_router.launch_router --host " + "10" + ".8.0.25", ("--host", "203.0.113.25"), {}),
        ("use `python3 -m sglang.launch_server --port 1`", None, {}),
    ],
)
def test_how_lines_are_found(tmp_path: Path, text: str, words: tuple[str, ...] | None, environment: dict[str, str]) -> None:
    path = tmp_path / "document.txt"
    path.write_text(text + "\n", encoding="utf-8")
    assert [(row.words, row.environment) for row in seeds.starts(path)] == ([] if words is None else [(words, environment)])
