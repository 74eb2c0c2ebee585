# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operating system packages of the shipped stacks, by the shipped table."""

from __future__ import annotations

import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.mirror.ospackages import merge, wanted
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition, read_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import parse_table
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import FILES

TABLE = parse_table(yaml.safe_load((FILES / "os_packages.yml").read_text(encoding="utf-8")))


def test_packages_of_shipped_stacks() -> None:
    names = ("sglang-0.5.8-cpu", "sglang-0.5.8-cu12-el9")
    cpu, cuda = (parse_definition(read_definition(FILES / name, FILES / "installer.txt", yaml.safe_load)) for name in names)
    found = wanted([cpu], TABLE, ["debian-12", "rhel-9", "plan9-4"])
    assert {"libnuma1", "libibverbs1", "libcurl4", "libgomp1", "python3.11"} <= set(found["debian-12"])
    assert {"numactl-libs", "libibverbs", "libcurl", "libgomp", "python3.11"} <= set(found["rhel-9"])
    assert found["plan9-4"] == []
    both = wanted([cpu, cuda], TABLE, ["rhel-9"])["rhel-9"]
    assert {"python3.12", "python3.12-devel", "gcc-c++", "perftest", "rdma-core", "python3.11"} <= set(both)
    assert len(set(both)) == len(both)


def test_both_lists_together() -> None:
    assert merge({"a": ["y", "x"], "b": ["z"]}, {"a": ["x", "w"], "c": []}) == {"a": ["w", "x", "y"], "b": ["z"], "c": []}
