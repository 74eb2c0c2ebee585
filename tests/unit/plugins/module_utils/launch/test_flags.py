# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Option tables, the check of arguments against them, and command line words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flags, flagtable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import ERROR, WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Finding, Findings

OLD, NEW, ROUTER, SMG = (flags.load(name) for name in ("sglang-0.5.8", "sglang-0.5.23", "sglang-router-0.3.2", "smg-1.13.0"))
TABLES = {table.name: table for table in (OLD, NEW, ROUTER, SMG)}


def check(table: flags.FlagTable, arguments: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    findings = Findings()
    return flags.resolve(table, arguments, "v", findings), findings.all()


@pytest.mark.parametrize("key", ["page-size", "page_size", "--page-size", "--page_size"])
def test_spellings(key: str) -> None:
    assert OLD.find(key) is OLD.options["page_size"]


@pytest.mark.parametrize("key", ["tp-size", "tensor-parallel-size", "tp_size"])
def test_aliases(key: str) -> None:
    assert OLD.find(key) is OLD.options["tensor_parallel_size"]


@pytest.mark.parametrize("key", ["", "-", "Page-Size", "page size", "pagesize", "page-siz", "page-size=3"])
def test_nothing_else(key: str) -> None:
    assert OLD.find(key) is None


@pytest.mark.parametrize(
    ("table", "dest", "value", "words"),
    [
        (OLD, "page_size", 32, ["--page-size", "32"]),
        (OLD, "enable_metrics", True, ["--enable-metrics"]),
        (OLD, "enable_metrics", False, []),
        (OLD, "cuda_graph_bs", [1, 2], ["--cuda-graph-bs", "1", "2"]),
        (OLD, "cuda_graph_bs", 1, ["--cuda-graph-bs", "1"]),
        (OLD, "preferred_sampling_params", {"b": 1, "a": [True]}, ["--preferred-sampling-params", '{"a":[true],"b":1}']),
        (OLD, "preferred_sampling_params", '{"a": 1}', ["--preferred-sampling-params", '{"a": 1}']),
        (OLD, "preferred_sampling_params", True, ["--preferred-sampling-params", "true"]),
        (OLD, "kv_events_config", {"a": 1}, ["--kv-events-config", '{"a":1}']),
        (OLD, "random_seed", -1, ["--random-seed=-1"]),
        (OLD, "weight_version", "--x", ["--weight-version=--x"]),
        (OLD, "mem_fraction_static", 1e-05, ["--mem-fraction-static", "1e-05"]),
        (OLD, "fp8_gemm_runner_backend", "auto", ["--fp8-gemm-backend", "auto"]),
        (NEW, "dllm_fdfo", True, ["--dllm-fdfo"]),
        (NEW, "dllm_fdfo", False, ["--no-dllm-fdfo"]),
        (NEW, "context_length", "64k", ["--context-length", "64k"]),
        (SMG, "remove_unhealthy_workers", False, ["--no-remove-unhealthy-workers"]),
        (SMG, "model_alias", ["a=b", "-c=d"], ["--model-alias", "a=b", "--model-alias=-c=d"]),
        (SMG, "model_alias", "a=b", ["--model-alias", "a=b"]),
        (SMG, "request_id_headers", ["a", "b"], ["--request-id-headers", "a", "b"]),
    ],
)
def test_words(table: flags.FlagTable, dest: str, value: Any, words: list[str]) -> None:
    assert flags.words(table.options[dest], value) == words


@pytest.mark.parametrize(
    ("table", "dest", "fits"),
    [
        (OLD, "page_size", True),
        (OLD, "enable_metrics", True),
        (OLD, "kv_events_config", True),
        (OLD, "cuda_graph_bs", False),
        (OLD, "preferred_sampling_params", False),
        (OLD, "lora_paths", False),
        (OLD, "disable_cuda_graph", True),
        # From here on 0.5.23, whose argument file refuses it.
        (NEW, "disable_cuda_graph", False),
        (NEW, "dllm_fdfo", False),
        (NEW, "context_length", True),
    ],
)
def test_what_fits_into_an_argument_file(table: flags.FlagTable, dest: str, fits: bool) -> None:
    assert table.options[dest].fits_argument_file is fits


ACCEPTED = [
    (OLD, {"page-size": 32}, {"page_size": 32}),
    (OLD, {"--tp_size": 4}, {"tensor_parallel_size": 4}),
    (OLD, {"page-size": None}, {"page_size": None}),
    (OLD, {"cuda-graph-bs": [1, 2, -3]}, {"cuda_graph_bs": [1, 2, -3]}),
    (OLD, {"cuda-graph-bs": 1}, {"cuda_graph_bs": 1}),
    (OLD, {"uvicorn-access-log-exclude-prefixes": []}, {"uvicorn_access_log_exclude_prefixes": []}),
    (OLD, {"bucket-time-to-first-token": [-0.5, 1]}, {"bucket_time_to_first_token": [-0.5, 1]}),
    (OLD, {"custom-weight-loader": "-x"}, {"custom_weight_loader": "-x"}),
    (OLD, {"watchdog-timeout": 1}, {"watchdog_timeout": 1}),
    (OLD, {"preferred-sampling-params": [1]}, {"preferred_sampling_params": [1]}),
    (OLD, {"attention-backend": "fa3"}, {"attention_backend": "fa3"}),
    (OLD, {"disable-cuda-graph": True}, {"disable_cuda_graph": True}),
    (OLD, {"enable-dp-attention": True}, {"enable_dp_attention": True}),
    (OLD, {"hybrid-kvcache-ratio": None}, {"hybrid_kvcache_ratio": None}),
    (OLD, {"tool-call-parser": "qwen"}, {"tool_call_parser": "qwen"}),
    (NEW, {"dllm-fdfo": False}, {"dllm_fdfo": False}),
    (NEW, {"context-length": "64k"}, {"context_length": "64k"}),
    (NEW, {"context-length": 65536}, {"context_length": 65536}),
    (NEW, {"disable-cuda-graph": False}, {"disable_cuda_graph": False}),
    (NEW, {"cuda-graph-bs-decode": [1]}, {"cuda_graph_bs_decode": [1]}),
    (ROUTER, {"policy": "random"}, {"policy": "random"}),
    (ROUTER, {"mini-lb": True}, {"mini_lb": True}),
    (SMG, {"model-alias": ["a=b", "-c=d"]}, {"model_alias": ["a=b", "-c=d"]}),
    (SMG, {"worker-auto-recovery": True}, {"remove_unhealthy_workers": True}),
    (SMG, {"sse-keepalive-secs": 0}, {"sse_keepalive_secs": 0}),
    (SMG, {"cache-boundaries": "1,20"}, {"cache_boundaries": "1,20"}),
]


@pytest.mark.parametrize(("table", "arguments", "resolved"), ACCEPTED)
def test_accepted(table: flags.FlagTable, arguments: dict[str, Any], resolved: dict[str, Any]) -> None:
    assert check(table, arguments) == (resolved, [])


UNKNOWN, SHORT, VERSION, ENGINE = "argument.unknown", "argument.abbreviation", "argument.other-version", "argument.other-engine"
DEPRECATED, VALUE = "argument.deprecated", "argument.value"
REFUSED: list[tuple[flags.FlagTable, str, Any, str, str, str]] = [
    (OLD, "mem-fraction-statik", 0.5, UNKNOWN, "sglang-0.5.8 has no option --mem-fraction-statik", "is --mem-fraction-static"),
    (OLD, "Page-Size", 1, UNKNOWN, "no option --Page-Size", "is --page-size"),
    (OLD, "zzzzqqqq", 1, UNKNOWN, "no option --zzzzqqqq", "remove it"),
    (OLD, "-", 1, UNKNOWN, "no option --", "remove it"),
    (OLD, "tp", 4, SHORT, "--tp is an abbreviation", "write --tp-size"),
    (OLD, "mem-fraction", 0.5, SHORT, "is an abbreviation", "write --mem-fraction-static"),
    (OLD, "disaggregation-bootstrap", 1, SHORT, "is an abbreviation", "write --disaggregation-bootstrap-port"),
    (OLD, "page", 1, SHORT, "is an abbreviation", "write --page-size"),
    (OLD, "dp", 1, SHORT, "is an abbreviation", "write --dp-size"),
    (OLD, "nsa", 1, SHORT, "ambiguous abbreviation: --nsa-decode-backend, --nsa-prefill-backend, --nsa-prefill-cp-mode", "in full"),
    (OLD, "disaggregation", 1, SHORT, "--disaggregation-decode-tp and 4 more", "in full"),
    (NEW, "cuda-graph-bs", [1], VERSION, "exists in sglang 0.5.8, not in sglang 0.5.23", "-bs-decode and --cuda-graph-bs-prefill here"),
    (NEW, "cuda-graph-max-bs", 1, VERSION, "not in sglang 0.5.23", "--cuda-graph-max-bs-decode and --cuda-graph-max-bs-prefill"),
    (NEW, "nsa-decode-backend", "fa3", VERSION, "exists in sglang 0.5.8", "write --dsa-decode-backend here"),
    (NEW, "disaggregation-decode-tp", 2, VERSION, "exists in sglang 0.5.8", "no counterpart"),
    (NEW, "hybrid-kvcache-ratio", 2, VERSION, "exists in sglang 0.5.8", "write --swa-full-tokens-ratio here"),
    (OLD, "attn-dp-size", 2, VERSION, "exists in sglang 0.5.23, not in sglang 0.5.8", "write --dp-size and --enable-dp-attention here"),
    (OLD, "dsa_prefill_backend", "fa3", VERSION, "exists in sglang 0.5.23", "write --nsa-prefill-backend here"),
    (OLD, "ssl-keyfile", "x", VERSION, "exists in sglang 0.5.23", "no counterpart"),
    (SMG, "mini-lb", True, VERSION, "exists in sglang-router 0.3.2, not in smg 1.13.0", "no counterpart"),
    (ROUTER, "discovery-file", "x", VERSION, "exists in smg 1.13.0, not in sglang-router 0.3.2", "no counterpart"),
    (OLD, "kv-transfer-config", "{}", ENGINE, "--kv-transfer-config is an option of vLLM, not of sglang 0.5.8", "sglang_transfer_backend"),
    (NEW, "--kv_transfer_config", {}, ENGINE, "is an option of vLLM, not of sglang 0.5.23", "sglang_transfer_backend"),
    (OLD, "disaggregation-decode-url", "x", ENGINE, "is an option of no engine", "prefill never needs decode's address"),
    (OLD, "kv-connector-url", "x", ENGINE, "is an option of no engine", "sglang_transfer_backend"),
    (NEW, "gpu-memory-utilization", 0.9, ENGINE, "is an option of vLLM", "use --mem-fraction-static"),
    (SMG, "gpu-memory-utilization", 0.9, ENGINE, "is an option of vLLM, not of smg 1.13.0", "remove it"),
    (OLD, "server-role", "x", ENGINE, "is an option of TensorRT-LLM", "pool"),
    (OLD, "prefill-policy", "random", ENGINE, "is an option of sglang-router 0.3.2 and smg 1.13.0, not of", "in sglang_router.args"),
    (ROUTER, "page-size", 1, ENGINE, "is an option of sglang 0.5.23 and sglang 0.5.8, not of", "write it in sglang_args"),
    (OLD, "hybrid-kvcache-ratio", True, DEPRECATED, "sglang-0.5.8 ignores", "remove it and use --swa-full-tokens-ratio"),
    (OLD, "prefill-round-robin-balance", True, DEPRECATED, "sglang-0.5.8 ignores", "remove it"),
    (OLD, "page-size", "32", VALUE, "'32' is not a whole number", ""),
    (OLD, "page-size", True, VALUE, "True is not a whole number", ""),
    (OLD, "page-size", [1], VALUE, "takes one value", ""),
    (OLD, "page-size", {}, VALUE, "a map given where a int is taken", ""),
    (OLD, "mem-fraction-static", "0.9", VALUE, "is not a number", ""),
    (OLD, "attention-backend", "flashinfr", VALUE, "the nearest is flashinfer", ""),
    (OLD, "attention-backend", "zzz", VALUE, "'zzz' is not one of aiter", ""),
    (NEW, "attention-backend", "cutlass_mla", VALUE, "'cutlass_mla' is not one of", ""),
    (OLD, "weight-version", True, VALUE, "quote it", ""),
    (OLD, "enable-metrics", "yes", VALUE, "takes no value", ""),
    (NEW, "dllm-fdfo", "yes", VALUE, "is a switch", ""),
    (NEW, "no-dllm-fdfo", True, VALUE, "other side of --dllm-fdfo", "write dllm-fdfo: true or false"),
    (SMG, "no-worker-auto-recovery", True, VALUE, "other side of --remove-unhealthy-workers", "write remove-unhealthy-workers"),
    (NEW, "context-length", "64 k", VALUE, "is not a whole number", ""),
    (NEW, "context-length", "1.5Ki", VALUE, "is not a whole number", ""),
    (NEW, "page-size", "64k", VALUE, "is not a whole number", ""),
    (SMG, "sse-keepalive-secs", -1, VALUE, "-1 is less than 0", ""),
    (SMG, "cache-boundaries", "1;2", VALUE, "commas", ""),
    (OLD, "cuda-graph-bs", [1, "2"], VALUE, "'2' is not a whole number", ""),
    (OLD, "cuda-graph-bs", [], VALUE, "an empty list", ""),
    (OLD, "model-checksum", ["a", "b"], VALUE, "takes one value", ""),
    (OLD, "custom-weight-loader", ["q", "--host=x"], VALUE, "'--host=x' begins with a dash", ""),
    (OLD, "custom-weight-loader", ["-x"], VALUE, "'-x' begins with a dash", ""),
    (OLD, "custom-weight-loader", [["q"]], VALUE, "is not one value", ""),
    (OLD, "bucket-time-to-first-token", [-1e-05], VALUE, "-1e-05 begins with a dash", ""),
    (ROUTER, "decode", ["http://192.0.2.1:1", "http://192.0.2.2:1"], VALUE, "a list of 2 given where 1 are taken", ""),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: f"{row[0].name}-{row[1]}")
def test_refused(row: tuple[flags.FlagTable, str, Any, str, str, str]) -> None:
    table, key, value, rule, text, fix = row
    resolved, (found,) = check(table, {key: value})
    assert (resolved, found.rule, found.variable, found.severity) == ({}, rule, f"v.{key}", ERROR)
    assert text in found.text, found
    assert fix in found.fix, found


@pytest.mark.parametrize(
    ("key", "value", "text", "fix"),
    [
        ("enable-dp-attention", True, "--enable-dp-attention is deprecated in sglang 0.5.23", "use --attn-dp-size <dp-size>"),
        ("disable-cuda-graph", True, "is deprecated", "use --cuda-graph-backend-{decode,prefill}=disabled"),
        ("grpc-mode", True, "is deprecated", "use --smg-grpc-mode"),
        ("monokernel-backend", "amd", "is deprecated", "use --enable-amd-monokernel"),
        ("enable-flashinfer-allreduce-fusion", True, "is deprecated", "use --flashinfer-allreduce-fusion-backend=auto"),
        ("disable-fast-image-processor", True, "is deprecated", "use --image-processor-backend=pil"),
        ("tool-call-parser", "qwen25", "'qwen25' is deprecated in sglang 0.5.23", "write qwen"),
    ],
)
def test_what_still_works_is_warned_of_and_kept(key: str, value: Any, text: str, fix: str) -> None:
    resolved, (found,) = check(NEW, {key: value})
    assert resolved == {key.replace("-", "_"): value}
    assert (found.rule, found.severity) == (DEPRECATED, WARNING)
    assert text in found.text
    assert fix in found.fix


def test_two_spellings() -> None:
    resolved, (found,) = check(OLD, {"ep": 2, "ep-size": 4, "page-size": 1})
    assert (found.rule, found.variable) == ("argument.twice", "v.ep-size")
    assert resolved["page_size"] == 1


def test_the_tables_are_whole() -> None:
    # The parsers' own --help, which no table has, is one action with two spellings.
    whole = {name: (len(table.options), sum(len(option.spellings) for option in table.options.values())) for name, table in TABLES.items()}
    assert whole == {
        "sglang-0.5.8": (329 - 1, 338 - 2),
        "sglang-0.5.23": (532 - 1, 561 - 2),
        "sglang-router-0.3.2": (98, 98),
        "smg-1.13.0": (213 - 1, 223 - 2),
    }
    assert set(TABLES) == set(flagtable.names())


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_is_consistent(table: flags.FlagTable) -> None:
    for dest, option in table.options.items():
        assert option.dest == dest
        assert option.kind in ("store", "flag", "switch", "append", "other")
        assert option.type in (("",) if option.kind in ("flag", "switch") else ("str", "int", "float", "json", "size", "int-list"))
        for spelling in option.spellings:
            assert re.fullmatch(r"--[a-z0-9]+(-[a-z0-9]+)*", spelling), spelling
            assert table.find(spelling) is option
            assert table.abbreviated(spelling)[:1] == [spelling]
        if option.kind == "switch":
            assert "--no-" + option.name in option.spellings
        if option.choices and option.default is not None and not option.takes_list and not option.deprecated:
            assert option.default in option.choices
        assert set(option.deprecated_choices) <= set(option.choices)
        assert set(option.deprecated_choices.values()) <= set(option.choices)
        # What a program names as the replacement, it has.
        for named in re.findall(r"--[a-z0-9-]*[a-z0-9]", option.deprecated):
            assert table.abbreviated(named), (dest, named)
    assert table.defaults.keys() == table.options.keys()


def test_defaults_and_what_is_required() -> None:
    assert [dest for dest, option in OLD.options.items() if option.required] == ["model_path"]
    assert [dest for dest, option in NEW.options.items() if option.required] == ["model_path"]
    assert not [table.name for table in (ROUTER, SMG) for option in table.options.values() if option.required]
    for table in (OLD, NEW):
        wanted = {"port": 30000, "nnodes": 1, "disaggregation_bootstrap_port": 8998, "enable_metrics": False, "page_size": None}
        assert {dest: table.defaults[dest] for dest in wanted} == wanted
    for table in (ROUTER, SMG):
        # Read from the environment of whoever makes a table, where there is one.
        secrets = dict.fromkeys(("oracle_password", "postgres_db_url", "redis_url"))
        assert {dest: table.defaults[dest] for dest in secrets} == secrets
        assert table.defaults["worker_startup_timeout_secs"] == 1800


def test_other_engines_options_are_not_ours() -> None:
    for name, entry in flagtable.data("other-engines").items():
        assert not [table.name for table in TABLES.values() if table.find(name)], name
        assert entry.get("instead") or entry["use"]
        for used in entry.get("use", ()):
            assert None not in (OLD.find(used), NEW.find(used)), (name, used)
    # Both engines call it that.
    assert OLD.find("tensor-parallel-size")
    assert "tensor-parallel-size" not in flagtable.data("other-engines")


def test_renamed_options_are_those_of_the_versions() -> None:
    for older, newer in flagtable.data("renamed-options"):
        assert all(OLD.find(name) for name in older), older
        assert all(NEW.find(name) for name in newer), newer


def test_a_table_that_is_not_there() -> None:
    with pytest.raises(OSError, match=r"sglang-9\.json"):
        flags.load("sglang-9")
