# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan action does besides planning. The refusal as a whole is in tests/unit/test_golden.py's playbook runs."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest
from ansible._internal._datatag._tags import Origin, VaultedValue
from ansible.module_utils.datatag import native_type_name

from ansible_collections.railyard.sglang.plugins.action import plan
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.tests.unit.support.clusters import RULES_OF_THE_ACTION


@pytest.mark.parametrize(
    ("value", "wanted"),
    [({1: ("a", [True, None])}, {"1": ["a", [True, None]]}), (1.5, 1.5), (7, 7), ("x", "x"), (Path("/x"), "/x"), (False, False)],
)
def test_plain(value: Any, wanted: Any) -> None:
    assert plan.plain(value) == wanted


def test_plain_drops_ansible_s_own_types() -> None:
    tagged = Origin(description="inventory").tag({"a": Origin(description="inventory").tag("x")})
    found = plan.plain(tagged)
    assert (type(found), type(found["a"])) == (dict, str)
    assert native_type_name(found) == "dict"
    assert json.dumps(found) == '{"a": "x"}'


def test_inventories(tmp_path: Path) -> None:
    for name in ("b/hosts.yml", "a/lab", "empty/README.md", "file.yml", ".hidden/x.yml", "group_vars/all.yml", "old.bak", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("", encoding="utf-8")
    again = tmp_path / "file" / ".."
    (tmp_path / "file").mkdir()
    assert plan.inventories([tmp_path, again, tmp_path / "none"]) == [f"{tmp_path}/{name}" for name in ("a", "b", "file.yml")]


def test_what_vault_has_encrypted_is_found() -> None:
    secret = VaultedValue(ciphertext="$ANSIBLE_VAULT;1.1;AES256").tag("hunter2")
    given = {"sglang_env": {"A": secret, "B": "x"}, "sglang_pools": {"prefill": {"hosts": ["a", secret]}}, "sglang_cluster": "c"}
    assert [path for name, value in given.items() for path in plan.vaulted(value, name)] == [
        "sglang_env.A",
        "sglang_pools.prefill.hosts[1]",
    ]
    with pytest.raises(PlanError) as error:
        plan.refuse_vaulted({"p0": given, "p1": given})
    assert [(found.rule, found.variable) for found in error.value.findings] == [
        ("input.vaulted", "sglang_env.A"),
        ("input.vaulted", "sglang_pools.prefill.hosts[1]"),
    ]
    assert "hunter2" not in str(error.value)
    assert {found.rule for found in error.value.findings} == RULES_OF_THE_ACTION
    plan.refuse_vaulted({"p0": {"sglang_env": {"A": "x"}, "ansible_host": secret}})


def test_content(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    assert plan.content(tmp_path, "config.json") == plan.content(Path("/"), str(tmp_path / "config.json")) == b"{}"


@pytest.mark.parametrize("path", ["none.json", "~no-such-user-here/config.json", "a\0b", "a" * 5000])
def test_content_that_cannot_be_read(tmp_path: Path, path: str) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        plan.content(tmp_path, path)
    assert path.split("\0", maxsplit=1)[0] in str(caught.value)


def test_facts_of_this_run() -> None:
    seen = Origin(description="module").tag({"rdma": {"present": True}})
    rows: dict[str, Any] = {"p0": {"ansible_facts": seen}, "p1": {"ansible_facts": {}}, "p2": {}}
    found = plan.gathered(types.SimpleNamespace(raw_get=rows.get), ["p0", "p1", "p2"])
    assert found == {"p0": {"present": True}}
    assert native_type_name(found["p0"]) == "dict"


def test_facts_of_files(tmp_path: Path) -> None:
    (tmp_path / "p0.json").write_text('{"present": true}', encoding="utf-8")
    (tmp_path / "other.json").write_text("[", encoding="utf-8")
    assert plan.saved(tmp_path, ["p0", "p1"]) == {"p0": {"present": True}}


@pytest.mark.parametrize(
    ("content", "host", "text"), [("[", "p1", "p1.json: Expecting value"), (None, "", "has facts of no host of this inventory")]
)
def test_facts_of_files_that_cannot_be_used(content: str | None, host: str, text: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "p1.json").write_text(content, encoding="utf-8")
    with pytest.raises(PlanError) as error:
        plan.saved(tmp_path, ["p1"])
    (found,) = error.value.findings
    assert (found.rule, found.variable, found.host) == ("facts.form", "plan_facts", host)
    assert text in found.text
    assert "playbooks/facts.yml" in found.fix
