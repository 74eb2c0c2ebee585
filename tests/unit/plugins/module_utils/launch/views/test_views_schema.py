# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/plan.schema.json: every plan keeps to it, it describes everything that a plan has, and it refuses what is none."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import plan as planning
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Inventory, cluster, gpu_cluster, looked

PATH = Path(__file__).resolve().parents[6] / "docs/plan.schema.json"
SCHEMA = json.loads(PATH.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FILES = {"sglang_files": {"deepep.json": {"src": "/controller/deepep.json"}, "map.pt": {"src": "/controller/map.pt"}}}
WORKERS = [
    {"role": "prefill", "url": "http://203.0.113.10:30000", "bootstrap_port": 8998}, {"role": "decode", "url": "http://203.0.113.110:30001"},
]
PLANS: dict[str, Inventory] = {
    "lab": cluster(),
    "single hosts": cluster(2, 2, 1, 1),
    "GPUs": gpu_cluster(),
    "unknown values": gpu_cluster().change({"sglang_rdma_devices": []}),
    "hosts that were looked at": looked(),
    "files": cluster().change(FILES),
    "written workers": cluster().change({"sglang_router.workers": WORKERS}),
    "DP attention": gpu_cluster().change({"sglang_pools.prefill.dp": 4, "sglang_pools.prefill.dp_attention": True}),
}


@pytest.mark.parametrize("name", PLANS)
def test_plan_keeps_to_the_schema(name: str) -> None:
    plan = json.loads(json.dumps(PLANS[name].plan()))
    assert [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(plan)] == []


def test_schema_is_one_and_of_this_version() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema"]["const"] == planning.SCHEMA
    assert SCHEMA["$id"].endswith(f":{planning.SCHEMA}")


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return next((resolved(one) for one in schema["anyOf"] if one != {"type": "null"}), schema) if "anyOf" in schema else schema


def undescribed(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the places of a plan that the schema says nothing of."""
    known = resolved(schema)
    if isinstance(value, dict) and known.get("properties"):
        for key, item in value.items():
            if key not in known["properties"]:
                yield f"{path}.{key}"
            else:
                yield from undescribed(item, known["properties"][key], f"{path}.{key}")
    elif isinstance(value, dict) and "additionalProperties" in known:
        for key, item in value.items():
            yield from undescribed(item, known["additionalProperties"], f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from undescribed(item, known["items"], f"{path}[{index}]")


@pytest.mark.parametrize("name", PLANS)
def test_schema_describes_everything(name: str) -> None:
    assert list(undescribed(PLANS[name].plan(), SCHEMA, "plan")) == []


def test_undescribed_is_seen() -> None:
    plan = cluster().plan()
    plan["instances"][0]["ranks"][0]["ports"][0]["colour"] = "red"
    # The same row is in the plan of its instance, and twice in that of its host.
    places = ("instances[0].ranks[0].ports[0]", "hosts.p0.ranks[0].ports[0]", "hosts.p0.ports[0]")
    assert list(undescribed(plan, SCHEMA, "plan")) == [f"plan.{place}.colour" for place in places]


def described(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, child in schema.get("properties", {}).items():
            if "description" not in child and "$ref" not in child and child.get("enum") is None:
                yield name
        for child in schema.values():
            yield from described(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from described(child)


def test_every_property_has_a_description() -> None:
    assert list(described(SCHEMA)) == []


BROKEN: list[tuple[str, Any, str]] = [
    ("schema", 1, "$.schema"),
    ("clusters", [], "$.clusters"),
    ("instances.0.mode", "both", "$.instances[0].mode"),
    ("instances.0.digest", "x", "$.instances[0].digest"),
    ("instances.0.ranks", [], "$.instances[0].ranks"),
    ("instances.0.ranks.0.environment.PATH", 1, "$.instances[0].ranks[0].environment.PATH"),
    ("hosts.p0.firewall.flows.0.scope", "both", "$.hosts.p0.firewall.flows[0].scope"),
    ("hosts.p0.firewall.flows.0.port", "http", "$.hosts.p0.firewall.flows[0].port"),
    ("instances.0.ranks.0.ports.0.port", 70000, "$.instances[0].ranks[0].ports[0].port"),
    ("hosts.p0.router", "r0", "$.hosts.p0.router"),
    ("findings", [{"rule": "a.b"}], "$.findings[0]"),
]


@pytest.mark.parametrize(("path", "value", "place"), BROKEN)
def test_schema_refuses(path: str, value: Any, place: str) -> None:
    plan = copy.deepcopy(cluster().plan())
    *keys, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    found: Any = plan
    for key in keys:
        found = found[key]
    found[last] = value
    assert place in {error.json_path for error in VALIDATOR.iter_errors(plan)}
