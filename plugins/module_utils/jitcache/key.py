# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The key of a kernel cache: everything that decides which kernels an instance needs, and nothing else.

What is known to change no kernel is left out by name; what is not known counts. An argument too many in the key costs a compilation, one
too few would serve an instance from the cache of another.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Mapping, Optional, Sequence

FORMAT = 2
DIGITS = 16
# Arguments, by dest, that change no kernel: places and names, what is logged and measured, and what compile_deep_gemm itself sets.
WITHOUT_EFFECT = frozenset((
    "admin_api_key", "allow_auto_truncate", "api_key", "base_gpu_id", "batch_notify_size", "chat_template", "completion_template",
    "config", "constrained_json_disable_any_whitespace", "constrained_json_whitespace_pattern", "crash_dump_folder",
    "decode_log_interval", "default_chat_template_kwargs", "detokenizer_worker_num", "disable_cuda_graph",
    "disable_decode_cuda_graph", "disable_prefill_cuda_graph", "disaggregation_bootstrap_port", "disaggregation_ib_device",
    "dist_init_addr", "dist_timeout", "download_dir", "enable_cache_report", "enable_metrics", "enable_metrics_for_all_schedulers",
    "enable_request_time_stats_logging", "enable_torch_compile", "enable_trace", "engine_info_bootstrap_port",
    "export_metrics_to_file", "export_metrics_to_file_dir", "extra_metric_labels", "fastapi_root_path", "file_storage_path",
    "gc_threshold", "gc_warning_threshold_secs", "grammar_backend", "grpc_mode", "grpc_port", "host", "kv_events_config",
    "load_format", "log_level", "log_level_http", "log_requests", "log_requests_format", "log_requests_level",
    "log_requests_target", "model_path", "mooncake_ib_device", "nccl_port", "node_rank", "numa_node", "otlp_service_name",
    "otlp_traces_endpoint", "port", "preferred_sampling_params", "random_seed", "reasoning_parser", "sampling_defaults",
    "served_model_name", "show_time_cost", "skip_server_warmup", "sleep_on_idle", "soft_watchdog_timeout",
    "speculative_draft_model_path", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "stream_interval", "stream_output",
    "tokenizer_path", "tokenizer_worker_num", "tool_call_parser", "tool_server", "trust_remote_code",
    "uvicorn_access_log_exclude_prefixes", "warmups", "watchdog_timeout", "weight_version",
))
# Variables of these families count, unless they are one of those below.
FAMILIES = ("DG_", "SGL_", "SGLANG_")
WITHOUT_EFFECT_VARIABLES = frozenset((
    "DG_JIT_CACHE_DIR", "SGLANG_CACHE_DIR", "SGLANG_DG_CACHE_DIR", "SGLANG_HEALTH_CHECK_TIMEOUT", "SGLANG_HOST_IP",
    "SGLANG_LOCAL_IP_NIC", "SGLANG_PORT", "SGLANG_SET_CPU_AFFINITY", "SGLANG_WARMUP_TIMEOUT", "SGL_FORCE_SHUTDOWN",
    "SGLANG_FORCE_SHUTDOWN",
))
# They move the KV cache and change no matrix.
WITHOUT_EFFECT_FAMILIES = ("SGLANG_DISAGGREGATION_", "SGLANG_LOG_", "SGLANG_MOONCAKE_")
# Fields of a config.json that say nothing of shapes.
NO_SHAPE = frozenset((
    "_name_or_path", "auto_map", "transformers_version", "attention_dropout", "attention_probs_dropout_prob", "bos_token_id",
    "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "embd_pdrop", "hidden_dropout_prob",
    "initializer_range", "resid_pdrop", "aux_loss_alpha", "router_aux_loss_coef", "pretraining_tp", "use_cache",
    "output_attentions", "output_hidden_states", "return_dict", "task_specific_params", "id2label", "label2id", "finetuning_task",
    "tokenizer_class", "problem_type", "rms_norm_eps", "layer_norm_eps", "rope_theta", "rope_scaling", "rope_parameters",
    "max_position_embeddings",
))


def canonical(value: Any) -> str:
    """Return the one text of a plain value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: Any) -> str:
    """Return the SHA-256 of a plain value's one text, shortened."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:DIGITS]


def arguments(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the arguments that count, by dest; one that is null or a flag that is off is the same as none."""
    return {name: value for name, value in given.items() if name not in WITHOUT_EFFECT and value is not None and value is not False}


def environment(given: Mapping[str, str]) -> Dict[str, str]:
    """Return the variables that count."""
    return {
        name: value for name, value in given.items()
        if name.startswith(FAMILIES) and name not in WITHOUT_EFFECT_VARIABLES and not name.startswith(WITHOUT_EFFECT_FAMILIES)
    }


def shape(config: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the fields of a config.json that kernels may depend on."""
    return {name: value for name, value in config.items() if name not in NO_SHAPE and value is not None}


def _block_group(group: Any) -> bool:
    """Whether a group of compressed-tensors has FP8 weights in blocks (compressed_tensors/quantization/quant_args.py)."""
    weights = group.get("weights") if isinstance(group, Mapping) else None
    if not isinstance(weights, Mapping):
        return False
    return weights.get("num_bits") == 8 and weights.get("type") == "float" and weights.get("strategy") == "block"


def block_fp8(config: Mapping[str, Any]) -> bool:
    """Whether the model has FP8 weights with block scales, which SGLang multiplies by DeepGEMM; others it does not."""
    found = config.get("quantization_config")
    if found is None and isinstance(config.get("text_config"), Mapping):
        found = config["text_config"].get("quantization_config")
    if not isinstance(found, Mapping):
        return False
    if found.get("quant_method") == "fp8":
        return bool(found.get("weight_block_size"))
    named = found.get("config_groups")
    groups = list(named.values()) if isinstance(named, Mapping) else []
    return found.get("quant_method") == "compressed-tensors" and any(map(_block_group, groups))


def parts(
    *, tree: str, architectures: Sequence[str], devices: Sequence[str], nvcc: str, models: Sequence[Mapping[str, Any]],
    counted: Mapping[str, Any], variables: Mapping[str, str], stage: Optional[int] = None,
) -> Dict[str, Any]:
    """Return what a key is made of.

    :param tree: name of the stack's tree, which ends in the hash of its lock: every package's version is in it.
    :param architectures: compute capabilities of the GPUs.
    :param devices: their PCI device ids: chips of one capability differ in the number of multiprocessors, by which DeepGEMM chooses
        shapes of blocks (csrc/jit_kernels/heuristics).
    :param nvcc: release of the compiler.
    :param models: config.json of the model, and of a draft model.
    :param counted: what C(arguments) returns.
    :param variables: what C(environment) returns.
    :param stage: the rank, where ranks hold different layers (pipeline stages).
    """
    made: Dict[str, Any] = {
        "format": FORMAT, "stack": tree, "architectures": sorted(set(architectures)),
        "devices": sorted(set(devices)), "nvcc": nvcc,
        "models": [digest(shape(config)) for config in models], "arguments": dict(counted), "environment": dict(variables),
    }
    if stage is not None:
        made["stage"] = stage
    return made


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> List[str]:
    """Return how the parts of two keys differ, a line each."""
    found = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += [f"{name}: {line}" for line in differences(before, after)]
        elif before != after:
            texts = ["none" if value is None else value if isinstance(value, str) else canonical(value) for value in (before, after)]
            found.append(f"{name}: {texts[0]} -> {texts[1]}")
    return found
