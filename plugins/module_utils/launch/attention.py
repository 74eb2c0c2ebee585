# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The attention backend that an engine takes, and the page size of the KV cache that follows from it.

Evidence: sglang 0.5.8 server_args.py (_handle_model_specific_adjustments, _handle_attention_backend_compatibility,
_handle_page_size), hardware_backend/npu/utils.py; 0.5.23 arg_groups/overrides.py (_mla_backend_page_constraints, _fa4_page_constraint).
"""

from __future__ import annotations

import re

from ansible_collections.railyard.sglang.plugins.module_utils.launch.modelshape import Shape
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

ARCH = re.compile(r"(?:sm_?)?(\d+)(?:\.(\d))?[a-f]?")
HOPPER, BLACKWELL = 9, 10
# Backend -> page sizes that it takes, the last one instead of any other.
PAGES = {
    "flashmla": (64,), "cutlass_mla": (128,), "trtllm_mla": (32, 64), "cutedsl_mla": (32, 64), "trtllm_mha": (16, 32, 64), "hpc_ops": (64,),
}
# They count also where they are the prefill backend alone.
EITHER_SIDE = ("trtllm_mha", "cutedsl_mla", "hpc_ops")
TRTLLM_MLA_BY_DEFAULT = ("DeepseekV3ForCausalLM",)


def compute_capability(contract: Contract, host: str) -> int:
    """Return major and minor of a host's GPUs as one number (90 for H100, 100 for B200), 0 when it is not known."""
    match = ARCH.fullmatch(contract.cluster.hosts[host]["sglang_gpu"]["arch"].strip().lower())
    return int("".join(part for part in match.groups() if part)) if match else 0


def _default(contract: Contract, rank: Rank, shape: Shape | None) -> str:
    """Return what SGLang takes where nothing is written, empty when it is not known."""
    if contract.engine.device != "cuda":
        return {"npu": "ascend", "rocm": "aiter"}.get(contract.engine.device, "")
    major = compute_capability(contract, rank.host) // 10
    if not major or shape is None:
        return ""
    topk = contract.value(rank, "speculative-eagle-topk") or 1
    chain = contract.value(rank, "speculative-algorithm") is None or topk == 1
    if shape.mla:
        if major == BLACKWELL:
            apart = contract.value(rank, "decode-attention-backend") or contract.value(rank, "prefill-attention-backend")
            return "trtllm_mla" if shape.architecture in TRTLLM_MLA_BY_DEFAULT and not apart else "flashinfer"
        return "fa3" if major == HOPPER else "triton"
    if chain and major in (HOPPER, BLACKWELL):
        return "fa3" if major == HOPPER else "trtllm_mha"
    return "flashinfer"


def backend(contract: Contract, rank: Rank, shape: Shape | None) -> str:
    """Return the attention backend of a rank, empty when it is not known."""
    prefill = contract.value(rank, "prefill-attention-backend")
    both = prefill if prefill and prefill == contract.value(rank, "decode-attention-backend") else None
    return str(both or contract.value(rank, "attention-backend") or _default(contract, rank, shape))


def page_size(contract: Contract, rank: Rank, shape: Shape | None) -> tuple[int | None, str]:
    """Return the tokens per page of the KV cache and why; None when that depends on what is not known."""
    given = contract.value(rank, "page-size")
    main = backend(contract, rank, shape)
    decode, prefill = (str(contract.value(rank, f"{side}-attention-backend") or "") for side in ("decode", "prefill"))
    size, why = given, "page-size"
    for name, legal in PAGES.items():
        allowed = (*legal, 128) if name == "trtllm_mha" and contract.engine.version != "0.5.8" else legal
        if name in (main, decode, *((prefill,) if name in EITHER_SIDE else ())) and size not in allowed:
            size, why = legal[-1], f"the attention backend {name} forces it"
    if _fa4(contract, rank, shape, (main, decode, prefill)):
        size, why = 128, "the attention backend fa4 forces it"
    if size is not None:
        return int(size), why
    if contract.engine.device == "npu":
        return 128, "the default on Ascend"
    if not main:
        return None, "the attention backend depends on the GPU and the model"
    return 1, f"the default, with attention backend {main}"


def _fa4(contract: Contract, rank: Rank, shape: Shape | None, backends: tuple[str, str, str]) -> bool:
    """Whether fa4 forces its page size; it does not for MLA."""
    if shape is None or shape.mla:
        return False
    if contract.engine.version == "0.5.8":
        return backends[2] == "fa4"
    return "fa4" in backends and compute_capability(contract, rank.host) // 10 == BLACKWELL
