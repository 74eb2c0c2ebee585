# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker says of itself in /server_info, against the plan and against its peers (sglang 0.5.8, entrypoints/http_server.py)."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer

# Of several hundred fields: what the plan knows, what prefill and decode must share, and what requests are cut to.
FIELDS = (
    "version",
    "disaggregation_mode",
    "served_model_name",
    "model_path",
    "page_size",
    "kv_cache_dtype",
    "dtype",
    "tp_size",
    "dp_size",
    "pp_size",
    "nnodes",
    "node_rank",
    "disaggregation_transfer_backend",
    "disaggregation_bootstrap_port",
    "chunked_prefill_size",
    "context_length",
    "max_total_num_tokens",
    "max_running_requests",
    "max_req_input_len",
    "enable_dp_attention",
    "quantization",
)
# Differences that corrupt or stop a transfer of the KV cache (page size: a RuntimeError in the decode's scheduler; KV dtype: unchecked
# in 0.5.8; versions differ in the form of their messages).
SHARED = ("version", "served_model_name", "page_size", "kv_cache_dtype", "disaggregation_transfer_backend")
NAMES = {
    "disaggregation_mode": "role",
    "served_model_name": "model",
    "page_size": "page size",
    "kv_cache_dtype": "KV dtype",
    "disaggregation_transfer_backend": "transfer backend",
    "disaggregation_bootstrap_port": "bootstrap port",
    "tp_size": "tensor parallel size",
    "dp_size": "data parallel size",
    "pp_size": "pipeline stages",
    "nnodes": "hosts",
    "model_path": "model path",
}
FOLLOWER = "it is a rank above 0, which has no API: list rank 0 of the instance only"


def kept(answer: Answer) -> Dict[str, Any]:
    """Return the fields that matter of an answer; empty where it is none."""
    data = answer.json() if answer.status == 200 else None
    return {name: data[name] for name in FIELDS if name in data} if isinstance(data, dict) else {}


def answer_problem(health: Answer, info: Answer) -> str:
    """Return why a worker has not said what it is, or an empty text."""
    if health.status != 200:
        return f"/health answered {health.error or health.status}"
    if info.status == 404:
        return f"/health answers and /server_info does not (404): {FOLLOWER}"
    if info.status != 200 or not kept(info):
        return f"/server_info answered {info.error or info.status}"
    return ""


def _said(name: str, value: Any) -> str:
    return "plain" if name == "disaggregation_mode" and value in ("null", None) else str(value)


def plan_problems(expected: Mapping[str, Any], found: Mapping[str, Any]) -> List[str]:
    """Return in which fields a worker is not what the plan says."""
    wrong = []
    for name, value in expected.items():
        if name not in found:
            wrong.append(f"{NAMES.get(name, name)} is not in /server_info, planned is {_said(name, value)}")
        elif found[name] != value:
            wrong.append(f"{NAMES.get(name, name)} is {_said(name, found[name])}, planned is {_said(name, value)}")
    return wrong


def peer_problems(rows: Sequence[Mapping[str, Any]]) -> List[str]:
    """Return in which fields workers differ that must not.

    :param rows: of each worker its C(instance) and what it said, C(info).
    """
    wrong = []
    for name in SHARED:
        groups: Dict[str, List[str]] = {}
        for row in rows:
            if name in row["info"]:
                groups.setdefault(str(row["info"][name]), []).append(str(row["instance"]))
        if len(groups) > 1:
            said = "; ".join(f"{value} on {', '.join(sorted(own))}" for value, own in sorted(groups.items()))
            wrong.append(f"{NAMES.get(name, name)} differs: {said}")
    return wrong
