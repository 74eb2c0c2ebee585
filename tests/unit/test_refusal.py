# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""site.yml on inventories that cannot be planned: it fails before it asks a host anything, and lists what is wrong and what exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.playbooks import ROOT, playbook

# No host of these answers, so a run that contacts one is unreachable, not failed.
BAD = """---
all:
  vars:
    sglang_cluster: bad
    sglang_stack: sglang-0.5.8-cpu
    sglang_router_stack: sglang-router-0.3.2
    sglang_model: {path: /m, name: m}
    sglang_args: {mem-fraction-statik: 0.1}
    sglang_pools:
      prefill: {nodes_per_instance: 2, tp: 2, port: 30000}
      decode: {tp: 1, port: 30001}
  children:
    prefill: {hosts: {p0: {ansible_host: 192.0.2.1}}}
    decode: {hosts: {}}
    router: {hosts: {r0: {ansible_host: 192.0.2.2}}}
"""


@pytest.mark.parametrize(
    ("inventory", "lines"),
    [
        (
            BAD,
            [
                "nothing was changed on any host. 2 finding(s)",
                "sglang_pools.prefill.nodes_per_instance: group prefill has 1 hosts (p0), which is not a multiple of 2"
                " [rule topology.odd-hosts] Fix: add 1 host(s) to the group",
                "sglang_pools.decode.group: group decode has no host in this inventory [rule topology.group-empty]",
            ],
        ),
        ("---\nall: {hosts: {}}\n", ["sglang_pools: is set on no host of this inventory", "name the inventory of a cluster with -i"]),
        (None, ["sglang_pools: is set on no host of this inventory", "Inventory given: "]),
    ],
    ids=["two findings", "no hosts", "no inventory"],
)
def test_refused(tmp_path: Path, inventory: str | None, lines: list[str]) -> None:
    words = []
    if inventory is not None:
        (tmp_path / "hosts.yml").write_text(inventory, encoding="utf-8")
        words = ["-i", str(tmp_path / "hosts.yml")]
    done = playbook(tmp_path, *words, "site.yml", cwd=ROOT)
    assert done.returncode != 0
    text = " ".join(done.stdout.replace("\\n", " ").split())
    for line in [*lines, "Inventories found: "]:
        assert line in text, done.stdout + done.stderr
    found = text.split("Inventories found: ")[1]
    assert str(ROOT / "inventory/lab") in found
    assert "unreachable=1" not in text
    assert "changed=1" not in text
