# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the choice of devices on every machine, however strange."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support.machines import BLUEFIELD3, CONNECTX7, machine, nic

RATES = [40.0, 100.0, 200.0, 400.0]
PATHS = ["PIX", "PXB", "PHB", "NODE", "UNKNOWN", "SYS"]
BOUNDED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def machines(draw: st.DrawFn, uniform: bool = False) -> dict[str, Any]:
    """Draw a machine; a uniform one has GPUs that are all equally far from every device."""
    count = draw(st.integers(0, 12))
    nics = []
    for number in range(count):
        virtual_function = draw(st.integers(0, 5)) == 0
        nics.append(nic(
            f"mlx5_{number}", f"0000:{16 + number // 2:02x}:00.{number % 2}",
            card=draw(st.sampled_from([CONNECTX7, CONNECTX7, BLUEFIELD3, {}])),
            rate=draw(st.sampled_from([*RATES[2:], *RATES, None])),
            state=draw(st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "DOWN", "INIT", "ARMED"])),
            layer=draw(st.sampled_from(["InfiniBand", "InfiniBand", "Ethernet"])),
            is_vf=virtual_function, pf_pci=f"0000:{16 + draw(st.integers(0, 6)):02x}:00.0" if virtual_function else None,
            lag={"slaves": ["a", "b"]} if draw(st.integers(0, 7)) == 0 else None,
        ))
    gpus = draw(st.integers(0, 8))
    row = st.fixed_dictionaries({device["name"]: st.sampled_from(PATHS) for device in nics})
    same = draw(row)
    return machine(nics, {gpu: same if uniform else draw(row) for gpu in range(gpus)})


def answer(found: dict[str, Any]) -> list[str]:
    """Return what was chosen, or would have been if it were not open."""
    chosen: list[str] = found["proposed"]
    return chosen


@BOUNDED
@given(machines(), st.randoms(use_true_random=False))
def test_order_of_the_facts_does_not_matter(facts: dict[str, Any], shuffle: random.Random) -> None:
    other = {**facts, "devices": list(facts["devices"]), "gpus": list(facts["gpus"])}
    shuffle.shuffle(other["devices"])
    shuffle.shuffle(other["gpus"])
    assert select(other) == select(facts)


@BOUNDED
@given(machines(), st.booleans())
def test_what_is_not_active_is_never_chosen(facts: dict[str, Any], listed: bool) -> None:
    every = [device["name"] for device in facts["devices"]]
    found = select(facts, Options(include=every) if listed else None)
    down = {device["name"] for device in facts["devices"] if device["ports"][0]["state"] != "ACTIVE"}
    assert not down & {*found["data_devices"], *answer(found), *(name for names in found["gpu_map"].values() for name in names)}
    assert not listed or {text.split(": ")[1].split()[0] for text in found["problems"]} == down


@BOUNDED
@given(machines(), st.sampled_from(PATHS), st.sampled_from(["InfiniBand", "Ethernet"]), st.data())
def test_a_slower_nic_never_changes_the_choice(facts: dict[str, Any], path: str, layer: str, data: st.DataObject) -> None:
    before = select(facts)
    rates = {device["ports"][0]["rate_gbps"] for device in facts["devices"] if device["name"] in answer(before)}
    assume(rates and None not in rates and min(rates) > RATES[0])
    slow = nic("slow", "0000:01:00.0", rate=data.draw(st.sampled_from([rate for rate in RATES if rate < min(rates)])), layer=layer)
    gpus = [{**gpu, "paths": {**gpu["paths"], "slow": path}} for gpu in facts["gpus"]]
    after = select({**facts, "devices": [*facts["devices"], slow], "gpus": gpus})
    assert answer(after) == answer(before)
    # It may raise the question whether speed is what counts here, never another answer.
    assert after["data_devices"] == ([] if after["ambiguous"] else before["data_devices"])
    assert before["ambiguous"] is None or after["ambiguous"] is not None
    assert "slow:1" in after["left_out"]


@BOUNDED
@given(st.one_of(machines(), machines(uniform=True)))
def test_the_gpu_map_is_fair(facts: dict[str, Any]) -> None:
    found = select(facts)
    assert set(found["gpu_map"]) in ({str(gpu["index"]) for gpu in facts["gpus"]}, set())
    assert {name for names in found["gpu_map"].values() for name in names} <= set(found["data_devices"])
    alike: dict[str, list[list[str]]] = {}
    for gpu in facts["gpus"]:
        if str(gpu["index"]) in found["gpu_map"]:
            row = {name: path for name, path in gpu["paths"].items() if name in found["data_devices"]}
            alike.setdefault(repr(sorted(row.items())), []).append(found["gpu_map"][str(gpu["index"])])
    for lists in alike.values():
        counts = [len(names) for names in lists]
        assert min(counts) > 0
        assert max(counts) - min(counts) <= 1
    if len(alike) == 1:
        lists = next(iter(alike.values()))
        flat = [name for names in lists for name in names]
        loads = [flat.count(name) for name in set(flat)]
        assert max(loads) - min(loads) <= 1
        assert len(flat) == max(len(lists), len(set(flat)))


@BOUNDED
@given(machines())
def test_every_port_is_accounted_for(facts: dict[str, Any]) -> None:
    found = select(facts)
    ports = {f"{device['name']}:1" for device in facts["devices"]}
    assert {f"{name}:1" for name in answer(found)} | set(found["left_out"]) == ports
    assert not {f"{name}:1" for name in answer(found)} & set(found["left_out"])
    assert all(found["left_out"].values())
    assert found["data_devices"] == ([] if found["ambiguous"] else answer(found))
    assert found["reasons"]
