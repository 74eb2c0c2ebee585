# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan action does besides planning. The refusal as a whole is in tests/unit/test_golden.py's playbook runs."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
from ansible._internal._datatag._tags import Origin, VaultedValue
from ansible.module_utils.datatag import native_type_name

from ansible_collections.railyard.sglang.plugins.action import plan
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import PlanError
from ansible_collections.railyard.sglang.tests.unit.support.clusters import RULES_OF_THE_ACTION


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


def facts_of(hosts: dict[str, Any], taking_part: list[str], **options: Any) -> dict[str, Any]:
    """Return the facts that a run plans from."""
    rows = {host: {"ansible_facts": {"rdma": facts}} for host, facts in hosts.items()}
    task_vars = {"hostvars": types.SimpleNamespace(raw_get=rows.get), "ansible_play_hosts_all": taking_part}
    given = {"facts_directory": None, "looked": True, "looked_hosts": None, "renamed": {}, **options}
    found: dict[str, Any] = plan.ActionModule._facts(types.SimpleNamespace(), given, list(hosts), task_vars)
    return found


@pytest.mark.parametrize(
    ("options", "hosts"),
    [({}, ["p0"]), ({"looked_hosts": ["p0", "p1"]}, ["p0", "p1"]), ({"looked_hosts": []}, []), ({"looked": False}, [])],
)
def test_hosts_whose_facts_count(options: dict[str, Any], hosts: list[str]) -> None:
    assert list(facts_of({"p0": {"a": 1}, "p1": {"a": 1}}, ["p0"], **options)) == hosts


def test_facts_get_the_names_that_the_host_will_have() -> None:
    rows = {"p0": [{"before": "ens1", "after": "roce0", "rdma_before": "", "rdma_after": ""}]}
    found = facts_of({host: {"interfaces": {"ens1": {"name": "ens1"}}} for host in ("p0", "p1")}, ["p0", "p1"], renamed=rows)
    assert found == {"p0": {"interfaces": {"roce0": {"name": "roce0"}}}, "p1": {"interfaces": {"ens1": {"name": "ens1"}}}}


def test_what_has_to_be_written_into_the_inventory() -> None:
    rows = [{"rdma_before": f"mlx5_{rail}", "rdma_after": f"mlx5_rail{rail}"} for rail in range(2)]
    given = {host: {"sglang_rdma_devices": ["mlx5_0", "mlx5_1"], "sglang_cluster": "c"} for host in ("p0", "p1", "d0")}
    said = plan.translated(given, {"p0": rows, "p1": rows})
    assert [row["sglang_rdma_devices"] for row in given.values()] == [["mlx5_rail0", "mlx5_rail1"]] * 2 + [["mlx5_0", "mlx5_1"]]
    assert given["p0"]["sglang_cluster"] == "c"
    (text,) = said
    assert text.startswith('sglang_rdma_devices (host p0, p1) is ["mlx5_0", "mlx5_1"]')
    assert 'Write ["mlx5_rail0", "mlx5_rail1"] into the inventory' in text
    assert plan.translated(given, {"p0": rows, "r0": []}) == []
