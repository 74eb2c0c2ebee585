# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventories that the collection ships: they plan without a warning, in both versions of SGLang."""

from __future__ import annotations

import re
from typing import Any

import netaddr
import pytest

from ansible_collections.railyard.sglang.tests.unit.support import documented, inventories
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE

AS_FOUND = "field-2p2d-as-found"
GOOD = [name for name in inventories.NAMES if name != AS_FOUND]
PRESETS = [name for name in GOOD if name.startswith("preset-")]
# The documents serve a checkpoint without ue8m0 scales on such GPUs, and one of them reports what comes of it.
WAIVED = {"b200-1p1d", "b200-1p1d-eplb", "deepseek-mnnvl"}
DOCUMENTATION = [netaddr.IPNetwork(text) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]


@pytest.mark.parametrize("name", GOOD)
def test_no_finding_above_a_note(name: str) -> None:
    found = inventories.findings(name)
    assert not [str(finding) for finding in found if finding.severity in ("error", "warning")]
    waived = {finding.rule for finding in found if finding.severity == "waived"}
    assert waived == ({"capacity.fp8-scales"} if name in WAIVED else set())
    variables = next(iter(inventories.read(name).hostvars.values()))
    assert set(variables.get("sglang_waive", {})) == waived


@pytest.mark.parametrize("name", GOOD)
def test_the_other_version(name: str) -> None:
    """With another stack only what is listed must change, and with those changes there is nothing to find."""
    other = documented.load(name)["other_version"]
    stacks = {"sglang_stack": other["stack"], "sglang_router_stack": other["router"]}
    found = inventories.findings(name, stacks)
    wrong = sorted({finding.variable for finding in found if finding.severity in ("error", "warning")})
    assert wrong == sorted(other.get("refused", []))
    changes: dict[str, Any] = {path: GONE if value is None else value for path, value in other.get("changes", {}).items()}
    assert set(wrong) <= set(changes)
    found = inventories.findings(name, stacks | changes)
    assert not [str(finding) for finding in found if finding.severity in ("error", "warning")]


@pytest.mark.parametrize("name", inventories.NAMES)
def test_names_and_addresses(name: str) -> None:
    inventory = inventories.read(name)
    assert not set(inventory.groups) & set(inventory.groups["all"])
    assert inventory.hostvars[inventory.groups["all"][0]]["sglang_cluster"]
    for variables in inventory.hostvars.values():
        for key in ("ansible_host", "sglang_fabric_address", "sglang_bind_address", "sglang_dist_init_address"):
            assert key not in variables or any(netaddr.IPAddress(variables[key]) in network for network in DOCUMENTATION)


@pytest.mark.parametrize("name", inventories.NAMES)
def test_the_readme_says_what_it_is(name: str) -> None:
    text = (inventories.INVENTORY / name / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "Reproduces"
    assert headings[1] in ("Corrected", "Added", "What the plan says")
    assert f"-i inventory/{name}" in text


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_claims_nothing_of_ours(name: str) -> None:
    inventory = inventories.read(name, "sglang_preset")
    (preset,) = {repr(variables["sglang_preset"]): variables["sglang_preset"] for variables in inventory.hostvars.values()}.values()
    assert set(preset) == {"claim", "source", "method", "not_reproduced_by_us"}
    assert preset["not_reproduced_by_us"] is True
    assert all(preset[key].strip() for key in ("claim", "source", "method"))
    assert preset["method"].split()[0] in ("throughput", "latency")
    text = " ".join((inventories.INVENTORY / name / "README.md").read_text(encoding="utf-8").split())
    assert "not reproduced by us" in text


def test_a_host_range_is_as_large_as_its_shape() -> None:
    groups = inventories.read("preset-h100-96-blog").groups
    assert (groups["prefill"][0], groups["prefill"][-1], len(groups["prefill"]), len(groups["decode"])) == ("prefill01", "prefill04", 4, 9)
