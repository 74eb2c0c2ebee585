# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions: what is refused, and what changes the content id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.launch import stacks
from ansible_collections.railyard.sglang.plugins.module_utils.launch.scope import INSTALLABLE
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import (
    parse_definition,
    read_definition,
    read_needs,
)
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import parse_lock
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import FILES, Tiny


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"name": "../x"}, "a name has lower case letters"),
        ({"kind": "gateway"}, "kind 'gateway' is not one of engine, router"),
        ({"python": [3.11]}, "python 3.11 is not a text"),
        ({"python": "3.11"}, "python is a str and not a list"),
        ({"disk_mib": None}, "disk_mib is missing"),
        ({"disk_mib": True}, "disk_mib is a bool"),
        ({"colour": "red"}, "unknown keys colour"),
        ({"files": {"../../etc/x": ""}}, "leads out of site-packages"),
        ({"files": {"/etc/x": ""}}, "leads out of site-packages"),
        ({"imports": ["tiny"]}, "is not a pair"),
        ({"imports": [["tiny", "large"]]}, "names large, which is not locked"),
        ({"libraries": [{"soname": "libc.so.6"}]}, "library .* is not a mapping of soname, deb, rpm"),
        ({"patches": [{"path": "a.py"}]}, "patch .* is not a mapping"),
        ({"patches": [{"path": "a.py", "reason": "", "replace": [{"before": "x"}]}]}, "replacement .* is not a mapping"),
        ({"lock": ""}, "the lock holds 0 packages"),
        ({"installer": ""}, "its installer: the lock holds 0 packages"),
    ],
)
def test_bad_definition_is_named(tiny: Tiny, keys: dict[str, Any], expected: str) -> None:
    with pytest.raises(StackError, match=expected) as caught:
        parse_definition(tiny.changed(**keys))
    assert str(caught.value).startswith("stack ")


@pytest.mark.parametrize(
    ("keys", "differs"),
    [
        ({}, False),
        ({"notes": "other words"}, False),
        ({"lock": "tiny==1.1 --hash=sha256:" + "c" * 64 + "\n"}, True),
        ({"files": {"tiny_stub/any.py": "x = 1\n"}}, True),
        ({"patches": []}, True),
        ({"environment": {}}, True),
        ({"imports": [["tiny", None]]}, True),
        ({"host": {"symbols": [{"library": "libc.so.6", "version": "GLIBC_2.28", "of": "tiny"}]}}, False),
        ({"os": ["libnuma"], "evidence": "read", "unverified": "not run", "obtain": "somewhere"}, False),
        ({"disk_mib": 2, "download_mib": 3, "machines": ["riscv64"], "libraries": []}, False),
        ({"lock": "# another comment\n{lock}"}, False),
        ({"lock": "{folded}"}, False),
        ({"lock": "{lock} --hash=sha256:" + "c" * 64}, True),
    ],
)
def test_content_id(tiny: Tiny, keys: dict[str, Any], differs: bool) -> None:
    before = parse_definition(tiny.data).content_id(11)
    assert len(before) == 12
    keys = {**keys, "lock": str(keys.get("lock", "{lock}")).replace("{lock}", tiny.data["lock"].strip())}
    keys["lock"] = keys["lock"].replace("{folded}", tiny.data["lock"].replace(" ", " \\\n    "))
    assert (parse_definition(tiny.changed(**keys)).content_id(11) != before) is differs


def test_content_id_is_of_the_python_and_not_of_the_installer(tiny: Tiny) -> None:
    definition = parse_definition(tiny.data)
    assert definition.content_id(11) != definition.content_id(12)
    other = tiny.changed(installer="uv==1.0 --hash=sha256:" + "d" * 64)
    assert parse_definition(other).content_id(11) == definition.content_id(11)


def test_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.yml").write_text("name: x\nfiles: {a.py: b.py}\n", encoding="utf-8")
    with pytest.raises(StackError, match=r"cannot read .*/requirements.txt"):
        read_definition(tmp_path, FILES / "installer.txt", yaml.safe_load)
    (tmp_path / "requirements.txt").write_text("", encoding="utf-8")
    with pytest.raises(StackError, match=r"cannot read .*/b.py"):
        read_definition(tmp_path, FILES / "installer.txt", yaml.safe_load)


DEFINITIONS = sorted(FILES.glob("*/stack.yml"))


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.parent.name)
def test_definitions_of_the_collection(path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    locked = (path.parent / "requirements.txt").is_file()
    if data.get("install", "wheels") == "wheels" and not locked:
        # Known to the decision; its lock is not written yet.
        assert read_needs(path.parent, yaml.safe_load)["locked"] is False
        return
    definition = parse_definition(read_definition(path.parent, FILES / "installer.txt", yaml.safe_load))
    assert definition.name == path.parent.name
    assert definition.needs.locked is locked
    assert definition.needs.locked or definition.needs.obtain
    assert definition.packages()
    named = {check.distribution for check in definition.imports if check.distribution}
    assert named <= set(definition.packages())


def test_what_has_a_lock_can_be_installed() -> None:
    locked = {path.parent.name for path in DEFINITIONS if (path.parent / "requirements.txt").is_file()}
    assert locked == INSTALLABLE
    known = {path.parent.name for path in DEFINITIONS}
    assert known == set(stacks.ENGINES) | set(stacks.ROUTERS)


def test_the_plan_knows_the_mooncake_of_the_lock() -> None:
    for name, stack in stacks.ENGINES.items():
        lock = FILES / name / "requirements.txt"
        if lock.is_file():
            pins = parse_lock(lock.read_text(encoding="utf-8"), name)
            versions = {pin.version for pin in pins.values() if pin.name.startswith("mooncake-transfer-engine")}
            assert versions == {stack.mooncake}
