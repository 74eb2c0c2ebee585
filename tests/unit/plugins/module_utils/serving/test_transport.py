# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By what the KV cache travelled."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model import tiny
from ansible_collections.railyard.sglang.plugins.module_utils.serving import transport
from ansible_collections.railyard.sglang.plugins.module_utils.serving.steps import Step
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, looked

CONFIG = tiny._configuration()
TINY_BYTES = 2 * 2 * 2 * 16 * 2  # layers, keys and values, KV heads, head dimension, bytes
R1 = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "vocab_size": 129280,
    "intermediate_size": 18432,
    "num_attention_heads": 128,
    "v_head_dim": 128,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "max_position_embeddings": 163840,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "torch_dtype": "bfloat16",
}
TCP = "I1127 10:47:31 tcp_transport.cpp:521] TcpTransport: listen on port 15788"
FOUND = "I1127 10:47:31 transfer_engine_impl.cpp:112] Topology discovery complete. Found 8 HCAs."


@pytest.mark.parametrize(
    ("config", "dtype", "size"),
    [
        (CONFIG, "auto", TINY_BYTES),
        (CONFIG, "fp8_e4m3", TINY_BYTES // 2),
        # One compressed vector of 576 numbers a layer, as published for DeepSeek-V3: 70,272 bytes.
        (R1, "auto", 61 * 576 * 2),
        ({"architectures": ["NoSuchModel"]}, "auto", None),
        ({}, "auto", None),
    ],
)
def test_bytes_of_a_token(config: dict[str, Any], dtype: str, size: int | None) -> None:
    assert transport.token_bytes(config, dtype) == size


def counts(sent: int, received: int, management: int = 0, rdma: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "fabric": {"interface": "fab0", "tx_bytes": 1000 + sent, "rx_bytes": 1000 + received},
        "management": {"interface": "eth0", "tx_bytes": 500 + management, "rx_bytes": 500 + management},
        "rdma": rdma or {},
    }


ZERO = counts(0, 0)
NAMES = {"prefill-0": 1000, "decode-0": 1000}
PLAN = cluster().plan()


def hosts(**after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the hosts of the lab's shape say; those that are not named moved half of a thousand tokens each."""
    half = 500 * TINY_BYTES
    usual = {"p0": counts(half, 9), "p1": counts(half, 9), "d0": counts(9, half), "d1": counts(9, half)}
    return {host: {"before": ZERO, "after": after.get(host, row), "config": CONFIG, "lines": {}} for host, row in usual.items()}


def judge(seen: dict[str, Any], plan: dict[str, Any] | None = None, sent: dict[str, int] | None = None) -> Step:
    return transport.Transport(PLAN if plan is None else plan, "lab", seen).judge(NAMES if sent is None else sent, {}, list(seen))


def test_tcp_as_planned() -> None:
    step = judge(hosts())
    assert (step.state, step.problems, step.notes) == ("proven", [], [])
    assert step.evidence == "tcp as planned: prefill-0 sent 250.0 KiB for 250.0 KiB; decode-0 received 250.0 KiB for 250.0 KiB"


def test_bytes_that_went_another_way() -> None:
    step = judge(hosts(p1=counts(100, 9)))
    (text,) = step.problems
    assert text.startswith("prefill-0 sent 125.1 KiB over tcp on p0, p1, the KV cache of 1000 prompt tokens has 250.0 KiB (256 bytes each)")
    assert "p1: fab0 tx_bytes +100" in text
    assert step.state == "failed"


def test_the_management_network_is_named() -> None:
    (note,) = judge(hosts(p0=counts(500 * TINY_BYTES, 9, management=9 << 20))).notes
    assert note.startswith("p0: the management interface eth0 sent 9.0 MiB meanwhile")
    assert judge(hosts(p0=counts(500 * TINY_BYTES, 9, management=7 << 20))).notes == []


def test_one_network_for_all() -> None:
    seen = hosts()
    for row in seen.values():
        row["after"]["management"] = {**row["after"]["fabric"], "tx_bytes": 99 << 20}
    assert judge(seen).notes == []


def test_a_counter_that_was_reset_tells_nothing() -> None:
    seen = hosts()
    for host in ("p0", "p1"):
        seen[host]["before"] = counts(10**9, 10**9)
    (text,) = judge(seen).problems
    assert text == "prefill-0: no counter of p0, p1 tells what went over tcp, and neither does its log"
    for host in ("p0", "p1"):
        seen[host]["lines"] = {"sglang-prefill-0.service": [TCP]}
    assert judge(seen).problems == []


def test_hosts_that_were_not_looked_at() -> None:
    seen = hosts()
    del seen["d1"]
    step = judge(seen)
    assert step.problems == []
    assert step.notes == ["decode-0: not looked at on d1"]


def test_a_model_of_unknown_size() -> None:
    seen = hosts(p0=counts(0, 0), p1=counts(0, 0))
    for row in seen.values():
        row["config"] = {}
    step = judge(seen)
    assert step.problems == ["prefill-0 sent nothing over tcp on p0, p1"]
    assert any("unknown size" in note for note in step.notes)


# --- RDMA


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        # As many bytes as the KV cache has, and RDMA ports that moved for another reason.
        ({"fabric": 90 << 20}, "d1: the fabric interface fab0 received 90.0 MiB meanwhile where RDMA is planned, the KV cache had 67.0"),
        ({"management": 90 << 20}, "d1: the management interface eth0 received 90.0 MiB meanwhile where RDMA is planned"),
        ({"fabric": 7 << 20, "management": 7 << 20}, ""),
        # Soft-RoCE's packets count on the interface, too.
        ({"fabric": 90 << 20, "soft": True}, ""),
    ],
)
def test_tcp_beside_rdma(change: dict[str, Any], problem: str) -> None:
    plan, seen = rdma()
    after = counts(0, change.get("fabric", 0), change.get("management", 0))
    seen["d1"]["after"] = {**after, "rdma": seen["d1"]["after"]["rdma"]}
    if "soft" in change:
        for side in ("before", "after"):
            ports = seen["d1"][side]["rdma"]
            seen["d1"][side]["rdma"] = {port: {"hw_counters/rcvd_pkts": row["counters/port_rcv_data"]} for port, row in ports.items()}
    step = judge(seen, plan)
    assert len(step.problems) == bool(problem), step.problems
    assert all(text.startswith(problem) and "Fix: sglang_rdma_devices" in text for text in step.problems)


def rdma(**more: Any) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """A plan of two pairs of hosts with eight rails, and what the hosts say."""
    plan = looked().plan()
    seen = {}
    for host in ("p0", "p1", "d0", "d1"):
        before = {port: {"counters/port_xmit_data": 10, "counters/port_rcv_data": 10} for port in plan["hosts"][host]["rdma"]["ports"]}
        after = copy.deepcopy(before)
        words = 1000 * 61 * 576 * 2 // 4 // 2 // len(after) + 1
        for row in after.values():
            row["counters/port_xmit_data" if host[0] == "p" else "counters/port_rcv_data"] += words
        seen[host] = {
            "before": {**ZERO, "rdma": before},
            "after": {**counts(0, 0), "rdma": after},
            "config": R1,
            "lines": {rank["unit"]: [FOUND] for rank in plan["hosts"][host]["ranks"]},
        }
        seen[host].update(more)
    return plan, seen


def test_rdma_as_planned() -> None:
    plan, seen = rdma()
    step = judge(seen, plan)
    assert (step.problems, step.state) == ([], "proven")
    assert step.evidence.startswith("rdma as planned: prefill-0 sent 67.0 MiB for 67.0 MiB")


def test_tcp_where_rdma_is_planned() -> None:
    plan, seen = rdma()
    unit = plan["hosts"]["d1"]["ranks"][0]["unit"]
    seen["d1"]["lines"] = {unit: ["No RDMA devices found", TCP]}
    seen["d1"]["after"] = {**counts(0, 40 << 20), "rdma": copy.deepcopy(seen["d1"]["before"]["rdma"])}
    step = judge(seen, plan)
    assert step.state == "failed"
    assert any("decode-0 rank 1 on d1: RDMA is planned, and its log says 'No RDMA devices found'" in text for text in step.problems)
    assert any(text.startswith("decode-0 received 33.5 MiB over rdma on d0, d1") for text in step.problems), step.problems


def test_ports_that_count_packets() -> None:
    before, after = ({"rxe0:1": {"hw_counters/sent_pkts": 5}}, {"rxe0:1": {"hw_counters/sent_pkts": 105}})
    assert transport.rdma_bytes(before, after, "tx_bytes") == (100 * 4096, ["rxe0:1 hw_counters/sent_pkts +100"])
    assert transport.rdma_bytes(before, after, "rx_bytes") == (None, [])
    assert transport.rdma_bytes({}, after, "tx_bytes") == (None, [])


def test_error_counters_of_a_slow_instance() -> None:
    plan, seen = rdma()
    port = plan["hosts"]["d1"]["rdma"]["ports"][3]
    seen["d1"]["before"]["rdma"][port]["hw_counters/out_of_sequence"] = 1
    seen["d1"]["after"]["rdma"][port]["hw_counters/out_of_sequence"] = 8
    judged = transport.Transport(plan, "lab", seen)
    assert judged.faults("decode-0") == f"d1 {port} (rail 3) hw_counters/out_of_sequence +7"
    assert judged.faults("prefill-0") == "no error counter moved"
