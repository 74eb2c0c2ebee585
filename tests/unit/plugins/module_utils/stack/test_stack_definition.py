# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Definitions: what is refused, and what changes the content id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition, read_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
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
    ],
)
def test_content_id(tiny: Tiny, keys: dict[str, Any], differs: bool) -> None:
    before = parse_definition(tiny.data).content_id(11)
    assert len(before) == 12
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
