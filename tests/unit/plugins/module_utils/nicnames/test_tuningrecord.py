# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of host_tuning follows the names: what was before is restored under the new ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import files, sysctls
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Seen, Step
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import references, tuningrecord

NAMES = {"ens1": "roce0", "ens2": "ens1", "mlx5_0": "mlx5_rail0", "a.b": "roce7"}
BEFORE: dict[str, Any] = {
    "sysctl": {
        "net.ipv4.conf.ens1.arp_ignore": {"before": "0", "ours": ["1"]}, "net.ipv4.conf.ens2.arp_ignore": {"before": "2", "ours": []},
        "net.ipv4.conf.ens11.arp_ignore": {"before": "0", "ours": ["1"]}, "vm.max_map_count": {"before": "65530", "ours": ["16777216"]},
    },
    "bridges": {"ens1": {"tool": "dcb"}, "ens3": {"tool": "dcb"}},
    "classes": {"mlx5_0": {"before": 0}},
    "modules": ["ens1"],
}
AFTER: dict[str, Any] = {
    "sysctl": {
        "net.ipv4.conf.roce0.arp_ignore": {"before": "0", "ours": ["1"]}, "net.ipv4.conf.ens1.arp_ignore": {"before": "2", "ours": []},
        "net.ipv4.conf.ens11.arp_ignore": {"before": "0", "ours": ["1"]}, "vm.max_map_count": {"before": "65530", "ours": ["16777216"]},
    },
    "bridges": {"roce0": {"tool": "dcb"}, "ens3": {"tool": "dcb"}},
    "classes": {"mlx5_rail0": {"before": 0}},
    "modules": ["ens1"],
}


def written(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def test_it_is_the_file_of_host_tuning() -> None:
    assert tuningrecord.PATH == files.STATE
    assert tuningrecord.PATH in references.PATTERNS


def test_all_names_at_once() -> None:
    found = references.rewrite(tuningrecord.PATH, written(BEFORE), NAMES)
    assert (found.path, found.content, found.unclear) == (tuningrecord.PATH, written(AFTER), ())
    back = {new: old for old, new in NAMES.items()}
    assert references.rewrite(tuningrecord.PATH, found.content, back).content == written(BEFORE)


@pytest.mark.parametrize("content", [b'{"sysctl": {"vm.max_map_count": {}}}', b"{}", b' { "other" : 1 }\n', written(BEFORE)])
def test_without_any_of_the_names_not_a_byte_changes(content: bytes) -> None:
    assert references.rewrite(tuningrecord.PATH, content, {"ens9": "roce9"}).content == content


@pytest.mark.parametrize("content", [b"", b"[]", b'{"sysctl": 1}', b"ens1"])
def test_what_is_no_record_is_told(content: bytes) -> None:
    found = references.rewrite(tuningrecord.PATH, content, NAMES)
    assert found.content == content
    assert [row.text for row in found.unclear] == ["this is no record of host_tuning"]


def test_the_rdma_stage_keeps_and_restores_its_settings_under_the_new_name() -> None:
    key = "net.ipv4.conf.{}.arp_ignore"
    record = {"sysctl": {key.format("ens1"): {"before": "0", "ours": ["1"]}}}
    follows = json.loads(references.rewrite(tuningrecord.PATH, written(record), {"ens1": "roce0"}).content)
    # The kernel keeps a device's settings when its name changes.
    wanted, seen = Wanted(least={key.format("roce0"): 1}), Seen(sysctl={key.format("roce0"): "1"})
    part, values = sysctls.plan(wanted, seen, follows["sysctl"])
    assert (values, part.steps, part.faults, part.notes) == ({key.format("roce0"): "1"}, [], [], [])
    part, values = sysctls.plan(Wanted(), seen, follows["sysctl"])
    assert part.steps == [Step("sysctl", key.format("roce0"), "1", "0")]
    # With a record of the former name the next boot would have no such setting.
    assert sysctls.plan(wanted, seen, record["sysctl"])[1] == {}
