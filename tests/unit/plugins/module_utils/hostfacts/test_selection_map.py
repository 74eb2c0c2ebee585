# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What follows from the choice: what is missing, which GPU uses which device, rails, and what deserves a warning."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support.machines import (
    BLUEFIELD3,
    EIGHT,
    ONE_CABLE_PER_CARD,
    ONE_EACH,
    PAIRS,
    RAILS,
    ROCE,
    STORAGE_AND_ONE_DOWN,
    beside,
    blind,
    machine,
    names,
    nic,
    roce,
)

# Facts, ports that are missing.
MISSING: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a data port is down": (machine([*RAILS[:7], nic("mlx5_7", state="DOWN", rate=10)], ONE_EACH), ["mlx5_7:1"]),
    "it is down, and storage is there": (STORAGE_AND_ONE_DOWN, ["mlx5_7:1"]),
    "management of another model is down": (machine([*RAILS, nic("mlx5_8", state="DOWN", card=BLUEFIELD3)], ONE_EACH), []),
    "a spare card of the same model on no GPU's switch is down": (machine([*RAILS, nic("mlx5_8", state="DOWN")], ONE_EACH), []),
    "second ports that no card uses": (ONE_CABLE_PER_CARD, []),
    "one cable of sixteen": (
        machine([nic(f"mlx5_{number}", f"0000:{number // 2 + 16:02x}:00.{number % 2}", state="DOWN" if number == 5 else "ACTIVE")
                 for number in range(16)], {gpu: {f"mlx5_{2 * gpu}": "PIX", f"mlx5_{2 * gpu + 1}": "PIX"} for gpu in range(8)}),
        ["mlx5_5:1"],
    ),
    "a guest with seven of eight": (machine([*RAILS[:7], nic("mlx5_7", state="DOWN")], blind(8), "UNKNOWN"), ["mlx5_7:1"]),
    "without GPUs": (machine([nic("mlx5_0"), nic("mlx5_1", state="INIT")]), ["mlx5_1:1"]),
    "one card uses both ports, most use one": (
        machine([nic(f"mlx5_{row}", f"0000:1{row // 2}:00.{row % 2}", state="DOWN" if row in (3, 5) else "ACTIVE") for row in range(6)]),
        [],
    ),
    "a virtual function that nobody uses": (machine([nic("mlx5_0"), nic("mlx5_1", state="DOWN", is_vf=True)]), []),
    "cards told apart by their image GUID": (
        machine([nic("mlx5_0", sys_image_guid="a"), nic("mlx5_1", sys_image_guid="a", state="DOWN"), nic("mlx5_2", sys_image_guid="b"),
                 nic("mlx5_3", sys_image_guid="b", state="DOWN"), nic("mlx5_4", sys_image_guid="c", state="DOWN")]), ["mlx5_4:1"],
    ),
}


@pytest.mark.parametrize(("facts", "missing"), MISSING.values(), ids=MISSING)
def test_missing(facts: dict[str, Any], missing: list[str]) -> None:
    found = select(facts)
    assert found["missing"] == missing
    assert not set(missing) & set(found["data_ports"])
    assert [name for name in missing if not any(name.partition(":")[0] in text for text in found["warnings"])] == []


# Facts, devices of every GPU.
MAPS: dict[str, tuple[dict[str, Any], dict[str, list[str]]]] = {
    "one to one": (machine(RAILS, ONE_EACH), {str(gpu): [f"mlx5_{gpu}"] for gpu in range(8)}),
    "in another order than their names": (
        machine(RAILS, beside(*reversed(EIGHT))), {str(gpu): [f"mlx5_{7 - gpu}"] for gpu in range(8)},
    ),
    "two on a switch with two GPUs": (machine(RAILS, PAIRS), {str(gpu): [f"mlx5_{gpu}"] for gpu in range(8)}),
    "two on a switch with four GPUs": (
        machine([nic(name) for name in names(0, 1)], {gpu: {"mlx5_0": "PXB", "mlx5_1": "PXB"} for gpu in range(4)}),
        {"0": ["mlx5_0"], "1": ["mlx5_1"], "2": ["mlx5_0"], "3": ["mlx5_1"]},
    ),
    "four for two GPUs": (machine([nic(name) for name in names(0, 1, 2, 3)], {0: {}, 1: {}}), {"0": names(0, 1), "1": names(2, 3)}),
    "one for all": (machine([nic("mlx5_0")], blind(4), "UNKNOWN"), {str(gpu): ["mlx5_0"] for gpu in range(4)}),
    "GPUs without a switch of their own take what is idle": (
        machine([nic(name) for name in names(0, 1, 2, 3)], {0: {}, 1: {}, 2: {"mlx5_2": "PIX"}, 3: {"mlx5_3": "PIX"}}),
        {"0": ["mlx5_0"], "1": ["mlx5_1"], "2": ["mlx5_2"], "3": ["mlx5_3"]},
    ),
    "a GPU whose NIC is down borrows": (
        machine([nic("mlx5_0"), nic("mlx5_1", state="DOWN")], beside("mlx5_0", "mlx5_1")), {"0": ["mlx5_0"], "1": ["mlx5_0"]},
    ),
    "fewest bridges win below one switch": (
        {"devices": [{**nic(name), "pci_path": ["pci0000:17", "a", *way]} for name, way in (("mlx5_0", ["b", "n0"]), ("mlx5_1", ["n1"]))],
         "gpus": [{"index": 0, "paths": {"mlx5_0": "PXB", "mlx5_1": "PXB"}, "pci_path": ["pci0000:17", "a", "g"]},
                  {"index": 1, "paths": {"mlx5_0": "PXB", "mlx5_1": "PXB"}, "pci_path": ["pci0000:17", "a", "b", "g"]}]},
        {"0": ["mlx5_1"], "1": ["mlx5_0"]},
    ),
    "facts with the nearest devices only": (
        {"devices": RAILS[:2], "gpus": [{"index": gpu, "nics": [name], "tied": [], "path": "PXB"} for gpu, name in enumerate(names(1, 0))]},
        {"0": ["mlx5_1"], "1": ["mlx5_0"]},
    ),
}


@pytest.mark.parametrize(("facts", "expected"), MAPS.values(), ids=MAPS)
def test_gpu_map(facts: dict[str, Any], expected: dict[str, list[str]]) -> None:
    found = select(facts)
    assert found["gpu_map"] == expected
    assert found["gpu_map_ambiguous"] is None


def test_a_guest_has_data_devices_and_no_map() -> None:
    found = select(machine(RAILS, blind(8), "UNKNOWN"))
    assert found["data_devices"] == EIGHT
    assert found["ambiguous"] is None
    assert found["gpu_map"] == {}
    assert found["gpu_map_ambiguous"]["variable"] == "sglang_rdma_device_map"
    told = select(machine(RAILS, blind(8), "UNKNOWN"), Options(gpu_map={gpu: f"mlx5_{7 - gpu}" for gpu in range(8)}))
    assert (told["problems"], told["gpu_map_ambiguous"], told["gpu_map"]["0"]) == ([], None, ["mlx5_7"])


def test_one_gpu_of_unknown_place_leaves_the_map_open() -> None:
    found = select(machine(RAILS[:2], {0: {"mlx5_0": "PIX"}, 1: {"mlx5_0": "UNKNOWN", "mlx5_1": "UNKNOWN"}}))
    assert (found["data_devices"], found["gpu_map"]) == (EIGHT[:2], {})
    assert "near which of 2 GPUs" in found["gpu_map_ambiguous"]["question"]


def test_rails_follow_the_gpus() -> None:
    rails = select(machine(RAILS, beside(*reversed(EIGHT))))["rails"]
    assert [(row["rail"], row["gpus"], row["device"]) for row in rails] == [(gpu, [gpu], f"mlx5_{7 - gpu}") for gpu in range(8)]


@pytest.mark.parametrize(
    ("nics", "index", "layer", "rate", "warning"),
    [
        ([roce("a", 3), roce("b", 3)], 3, "Ethernet", 400, ""),
        ([roce("a", 3), roce("b", 5)], None, "Ethernet", 400, ""),
        ([roce("a", 1), roce("b", None)], None, "Ethernet", 400, "b: no RoCE v2 GID"),
        ([nic("a"), nic("b")], None, "InfiniBand", 400, ""),
    ],
)
def test_what_all_ports_have_in_common(nics: list[Any], index: int | None, layer: str, rate: float, warning: str) -> None:
    found = select(machine(nics))
    assert (found["uniform_gid_index"], found["link_layer"], found["rate"]) == (index, layer, rate)
    assert [warning in text for text in found["warnings"]] == ([True] if warning else [])


@pytest.mark.parametrize(
    ("own", "network", "index"),
    [
        (3, None, 3), (3, "192.0.2.0/24", 3), (3, "198.51.100.0/24", 5), (7, "198.51.100.0/25", 7), (3, "0.0.0.0/0", 3),
        (3, "2001:db8::/32", None),
    ],
)
def test_gid_of_an_address_in_the_range(own: int, network: str | None, index: int | None) -> None:
    rows = [
        {"index": 3, "type": "v2", "ipv4": "192.0.2.1"}, {"index": 4, "type": "v1", "ipv4": "198.51.100.1"},
        {"index": 5, "type": "v2", "ipv4": "198.51.100.1"}, {"index": 6, "type": "v2", "ipv4": None},
        {"index": 7, "type": "v2", "ipv4": "198.51.100.1"},
    ]
    found = select(machine([nic("a", layer="Ethernet", rocev2_gid_index=own, gids=rows)]), Options(include=["a"], address_range=network))
    assert (found["uniform_gid_index"], found["gid_indexes"], found["rails"][0]["gid_index"]) == (index, {"a:1": index}, index)


@pytest.mark.parametrize(
    ("facts", "options", "warning"),
    [
        (ROCE, {"include": ["mlx5_0", "mlx5_2"]}, "different rates: mlx5_0 400 Gb/s, mlx5_2 100 Gb/s"),
        (machine([nic("a"), nic("b", layer="Ethernet")]), {"include": ["a", "b"]}, "different link layers: a InfiniBand, b Ethernet"),
        (ROCE, {"include": ["mlx5_2"], "address_range": "192.0.2.0/24"}, "mlx5_2 has no address in 192.0.2.0/24"),
        (ROCE, {"exclude": ["mlx5_9"]}, "sglang_rdma_exclude: the host has no RDMA device mlx5_9"),
        (machine([*RAILS[:7], nic("mlx5_7", rate=200)], ONE_EACH), {}, "mlx5_7 is of the same model as the data devices, and has only 200"),
        (machine([nic(name, bond={"bond": "bond0"}) for name in names(0, 1)]), {}, "mlx5_0, mlx5_1 are slaves of bond0"),
    ],
)
def test_warnings(facts: dict[str, Any], options: dict[str, Any], warning: str) -> None:
    assert any(warning in text for text in select(facts, Options(**options))["warnings"])


@pytest.mark.parametrize(
    "facts",
    [
        machine(RAILS, ONE_EACH),
        # A text like ibstat's says nothing of GIDs.
        machine([nic("mlx5_0", layer="Ethernet")]),
        machine([*RAILS, nic("mlx5_8", rate=200)], {**ONE_EACH, 4: {"mlx5_4": "PIX", "mlx5_8": "PIX"}}),
        machine([*RAILS[:7], nic("mlx5_7", rate=200, card=BLUEFIELD3)], ONE_EACH),
        machine([nic(name, bond={"bond": f"bond{name[-1]}"}) for name in names(0, 1)]),
    ],
)
def test_nothing_to_warn_of(facts: dict[str, Any]) -> None:
    assert select(facts)["warnings"] == []
