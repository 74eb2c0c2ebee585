# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports that the role reserves, by Ansible itself, against the ranges that the plan's rules know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import ports
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules.drawn_ports import mooncake_ranges

ROLE = Path(__file__).resolve().parents[2] / "roles" / "rdma"
OLD = {"MC_MIN_PRC_PORT": "20000", "MC_MAX_PRC_PORT": "20999"}
NEW = {"MC_MIN_RPC_PORT": "21000", "MC_MAX_RPC_PORT": "21999"}


def reserved(slice_: dict[str, Any]) -> list[str]:
    """Return the role's default of rdma_reserved_ports for a host's slice of the plan."""
    loader = DataLoader()
    files = [str(ROLE / directory / "main.yml") for directory in ("defaults", "vars")]
    defaults, own = (loader.load_from_file(path, trusted_as_template=True) for path in files)
    variables = {**defaults, **own}
    templar = Templar(loader, {**variables, "sglang_host": slice_})
    found = templar.template(variables["rdma_reserved_ports"])
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize(
    ("environments", "listed"),
    [
        ([], ["15000-17000"]),
        ([{}], ["15000-17000"]),
        ([OLD], ["20000-20999"]),
        ([NEW], ["15000-17000", "21000-21999"]),
        ([{**OLD, **NEW}], ["20000-20999", "21000-21999"]),
        ([{"MC_MAX_PRC_PORT": "16000"}], ["15000-16000"]),
        ([OLD, {}], ["20000-20999", "15000-17000"]),
    ],
)
def test_the_ranges_of_all_ranks_of_the_host_are_reserved(environments: list[dict[str, str]], listed: list[str]) -> None:
    ranks = [{"rank": number, "environment": environment} for number, environment in enumerate(environments)]
    found = reserved({"ports": [{"port": 30000}, {"port": 8998}], "ranks": ranks, "rdma": {"backend": "mooncake"}})
    assert found == ["30000", "8998", *listed]
    drawn = {span for environment in environments or [{}] for span in mooncake_ranges(environment)}
    assert ports.numbers(",".join(found)) == {30000, 8998}.union(*(range(low, high + 1) for low, high in drawn))


@pytest.mark.parametrize(
    ("slice_", "listed"),
    [({"rdma": None, "ports": [{"port": 30000}]}, []), ({"rdma": {"backend": "nixl"}, "ports": [{"port": 30000}]}, ["30000"])],
)
def test_mooncakes_range_is_reserved_for_mooncake_only(slice_: dict[str, Any], listed: list[str]) -> None:
    assert reserved(slice_) == listed
