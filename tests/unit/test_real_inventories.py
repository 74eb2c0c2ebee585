# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command line of the inventories, before the real parsers and before the engine's own judgement of its settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import modelshape, stacks
from ansible_collections.railyard.sglang.tests.unit.support import documented, inventories
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE
from ansible_collections.railyard.sglang.tests.unit.support.parsers import NEEDS, parse

GOOD = sorted(set(inventories.NAMES) - {"field-2p2d-as-found"})
OLD, NEW = "sglang-0.5.8", "sglang-0.5.23"
ROUTER = {OLD: "sglang-router-0.3.2", NEW: "smg-1.13.0"}
of_both = pytest.mark.parametrize("version", [pytest.param(OLD, marks=NEEDS[OLD]), pytest.param(NEW, marks=NEEDS[NEW])])


def plan(name: str, version: str) -> dict[str, Any]:
    """Return the plan of an inventory with an engine of that version, changed as its documented file says where that is the other one."""
    inventory = inventories.read(name)
    if device_and_version(name)[1] == version:
        return inventories.build(inventory)
    other = documented.load(name)["other_version"]
    changes = {path: GONE if value is None else value for path, value in other.get("changes", {}).items()}
    changed = inventory.change({"sglang_stack": other["stack"], "sglang_router_stack": other["router"], **changes})
    return inventories.build(changed)


def device_and_version(name: str) -> tuple[str, str]:
    """Return what an inventory's engine runs on, and its option table."""
    stack = stacks.ENGINES[next(iter(inventories.read(name).hostvars.values()))["sglang_stack"]]
    return stack.device, stack.flags


def command_lines(name: str, version: str, folder: Path) -> list[list[str]]:
    """Return the argument vectors of an inventory's ranks, with argument files and model where this machine has them."""
    argvs = []
    for instance in plan(name, version)["instances"]:
        for rank in instance["ranks"]:
            argv = list(rank["argv"][2:])
            place = argv.index("--model-path") + 1
            argv[place] = str(folder / "model")
            if argv[0] == "--config":
                path = folder / f"{name}-{rank['instance']}-{rank['rank']}.yaml"
                path.write_text(json.dumps(rank["arguments"]), encoding="utf-8")
                argv[1] = str(path)
            argvs.append(argv)
    return argvs


@of_both
def test_no_parser_rejects_a_line(version: str, tmp_path: Path) -> None:
    rows = [(name, argv) for name in GOOD for argv in command_lines(name, version, tmp_path)]
    found = parse(version, refused=[argv for _name, argv in rows])["refused"]
    assert [(name, argv, said) for (name, argv), said in zip(rows, found, strict=True) if said] == []
    print(f"{len(rows)} command lines of {len({name for name, _argv in rows})} inventories")
    assert len(rows) > 40


@pytest.mark.parametrize("router", [pytest.param(name, marks=NEEDS[name]) for name in ROUTER.values()])
def test_no_router_rejects_a_line(router: str) -> None:
    version = next(version for version, name in ROUTER.items() if name == router)
    rows = [(name, row["argv"][2:]) for name in GOOD for row in plan(name, version)["routers"]]
    found = parse(router, refused=[argv for _name, argv in rows])["refused"]
    assert [(name, argv, said) for (name, argv), said in zip(rows, found, strict=True) if said] == []
    assert len(rows) > 10


@NEEDS[OLD]
def test_the_engine_takes_the_settings(tmp_path: Path) -> None:
    rows = []
    # Other devices' settings ask for their own Python packages.
    for name in (name for name in GOOD if device_and_version(name)[0] == "cuda"):
        config = next(iter(inventories.read(name).hostvars.values()))["sglang_model"].get("config")
        if config is None:
            continue
        model = tmp_path / name / "model"
        model.mkdir(parents=True)
        shipped = json.loads((Path(modelshape.MODELS) / f"{config}.json").read_text(encoding="utf-8"))
        (model / "config.json").write_text(json.dumps(shipped["config"]), encoding="utf-8")
        rows += [(name, argv) for argv in command_lines(name, OLD, tmp_path / name)]
    said = parse(OLD, judge=[argv for _name, argv in rows])["judged"]
    assert [(name, text, argv) for (name, argv), text in zip(rows, said, strict=True) if text] == []
    assert len(rows) > 30
