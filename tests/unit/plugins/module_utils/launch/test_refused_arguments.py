# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Arguments, environment variables and files that cannot be planned."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import arguments, flags
from ansible_collections.railyard.sglang.tests.unit.support.clusters import Refusal, cluster


def argument(rule: str, name: str, value: Any, text: str, fix: str = "", *, variable: str = "sglang_args") -> Refusal:
    return Refusal(rule, {f"{variable}.{name}": value}, f"{variable}.{name}", text, fix)


def environment(name: str, value: Any, text: str, rule: str = "environment.value") -> Refusal:
    return Refusal(rule, {f"sglang_env.{name}": value}, f"sglang_env.{name}", text)


def file(rule: str, name: str, entry: Any, text: str, variable: str = "") -> Refusal:
    return Refusal(rule, {"sglang_files": {name: entry}}, variable or f"sglang_files.{name}", text)


ARGUMENTS = {
    "unknown, with the nearest": argument(
        "argument.unknown",
        "mem-fraction-statik",
        0.5,
        "no option --mem-fraction-statik",
        "the nearest real option is --mem-fraction-static",
    ),
    "unknown, like nothing": argument("argument.unknown", "zzzzqqqq", 1, "no option --zzzzqqqq", "remove it"),
    "an abbreviation": argument("argument.abbreviation", "mem-fraction", 0.5, "mem-fraction", "--mem-fraction-static"),
    "of another version": argument(
        "argument.other-version", "cuda-graph-max-bs-decode", 2, "exists in sglang 0.5.23", "--cuda-graph-max-bs"
    ),
    "of another engine": argument("argument.other-engine", "kv-transfer-config", {}, "an option of vLLM", "sglang_transfer_backend"),
    "of the router": argument("argument.other-engine", "prefill-policy", "random", "an option of sglang-router", "sglang_router.args"),
    "in a pool": argument("argument.unknown", "pagesize", 1, "no option --pagesize", "--page-size", variable="sglang_pools.prefill.args"),
    "on the router": argument("argument.unknown", "polcy", "random", "no option --polcy", "--policy", variable="sglang_router.args"),
    "whole number as a text": argument("argument.value", "page-size", "32", "'32' is not a whole number"),
    "whole number as a boolean": argument("argument.value", "page-size", True, "True is not a whole number"),
    "number as a text": argument("argument.value", "mem-fraction-static", "0.9", "'0.9' is not a number"),
    "text as a boolean": argument("argument.value", "kv-events-config", True, "quote it"),
    "not one of the choices": argument("argument.value", "attention-backend", "fa9", "'fa9' is not one of aiter"),
    "a value for a flag": argument("argument.value", "enable-metrics", "yes", "takes no value"),
    "a list for one value": argument("argument.value", "page-size", [1, 2], "a list of 2 given"),
    "a wrong item of a list": argument("argument.value", "cuda-graph-bs", [1, "2"], "'2' is not a whole number"),
    "a map for a number": argument("argument.value", "page-size", {"a": 1}, "a map given where a int is taken"),
    "a file for a number": argument("argument.value", "page-size", {"file": "x"}, "'' is not a whole number"),
    "deprecated": argument("argument.deprecated", "hybrid-kvcache-ratio", 0.5, "ignores --hybrid-kvcache-ratio", "remove it"),
    "two spellings": Refusal(
        "argument.twice", {"sglang_args": {"ep": 2, "ep-size": 2}}, "sglang_args.ep-size", "--expert-parallel-size is given"
    ),
    "dash and underscore": Refusal(
        "argument.twice", {"sglang_args": {"page-size": 2, "page_size": 2}}, "sglang_args.page_size", "given twice"
    ),
    "a path that the plan does not know": argument(
        "argument.bare-path", "deepep-config", "/root/deepep.json", "'/root/deepep.json'", "{file: NAME}"
    ),
    "a device map without its suffix": argument(
        "argument.ib-device-file", "disaggregation-ib-device", {"file": "map"}, "does not end in .json"
    ),
    "a secret": argument("argument.secret", "api-key", "x", "is a secret", "leave it out"),
    "a secret of the router": argument("argument.secret", "control-plane-api-keys", ["x"], "is a secret", variable="sglang_router.args"),
    **{
        f"typed {dest}": argument(
            "argument.typed", dest.replace("_", "-"), "x" if dest == "config" else 1, "decided by the topology", "set "
        )
        for dest in ("port", "nnodes", "node_rank", "nccl_port", "tensor_parallel_size", "disaggregation_bootstrap_port", "gpu_id_step")
    },
    "typed by its short name": Refusal(
        "argument.typed", {"sglang_args.tp-size": 4}, "sglang_args.tensor-parallel-size", "decided", "sglang_pools"
    ),
    "typed by its beginning": Refusal("argument.typed", {"sglang_args.tensor-par": 4}, "sglang_args.tensor-par", "decided", "sglang_pools"),
    "typed, of another version": Refusal("argument.typed", {"sglang_args.attn-dp-size": 4}, "sglang_args.attn-dp-size", "decided", ".dp"),
    "typed in a host's arguments": Refusal("argument.typed", {"p0:sglang_host_args": {"host": "x"}}, "sglang_host_args.host", "decided"),
    **{
        f"typed on the router: {dest}": argument(
            "argument.typed", dest.replace("_", "-"), value, "decided", "set ", variable="sglang_router.args"
        )
        for dest, value in {"port": 1, "host": "x", "prometheus_port": 1, "worker_urls": ["x"], "pd_disaggregation": True}.items()
    },
}
ENVIRONMENT = {
    "boolean": environment("A", True, "True is a boolean"),
    "line break": environment("A", "x\ny", "line break"),
    "null byte": environment("A", "x\0y", "line break"),
    "list": environment("A", ["x"], "is not a text"),
    "map": environment("A", {"x": 1}, "is not a text"),
    "name with a dash": environment("A-B", "x", "is not the name", "environment.name"),
    "name with a line break": environment("A\n", "x", "is not the name", "environment.name"),
    **{
        f"typed {name}": environment(name, "203.0.113.9", "is decided by the plan", "environment.typed")
        for name in ("SGLANG_HOST_IP", "HOST_IP", "RAILYARD_INSTANCE_DIGEST")
    },
    **{
        f"secret {name}": environment(name, "x", "is a secret by its name", "environment.secret")
        for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "MY_API_KEY", "MYPASS")
    },
    "password in a URL": environment("http_proxy", "http://u:p@198.51.100.1:3128", "holds a password in a URL", "environment.secret"),
    "directory that the plan does not know": environment("SGLANG_MOE_CONFIG_DIR", "/root/moe", "'/root/moe'", "environment.bare-path"),
    "router, boolean": Refusal("environment.value", {"sglang_router.env.A": False}, "sglang_router.env.A", "is a boolean"),
    "router, map": Refusal("environment.value", {"sglang_router.env.A": {"x": 1}}, "sglang_router.env.A", "is not a text"),
    "router, unknown file": Refusal(
        "file.unknown", {"sglang_router.env.A": {"file": "x"}}, "sglang_router.env.A", "names file x", "add it to sglang_router.files"
    ),
}
FILES = {
    "not on the controller": file("file.source", "a.json", {"src": "/controller/none"}, "No such file", "sglang_files.a.json.src"),
    "a text": file("file.entry", "a.json", "text", "'text' is not a file"),
    "both": file("file.entry", "a.json", {"src": "x", "content": "y"}, "is not a file"),
    "neither": file("file.entry", "a.json", {}, "is not a file"),
    "more": file("file.entry", "a.json", {"content": "y", "mode": "0600"}, "is not a file"),
    **{
        f"name {name}": file("file.name", name, {"content": "x"}, "is not a name below")
        for name in ("/etc/passwd", "../x", "a/../../x", "..", ".", "environment", "arguments.yaml", "./environment", "environment/x")
    },
    "a line break in the name": file("file.name", "a\nb", {"content": "x"}, "is not a name below"),
    "below a file": Refusal(
        "file.name-clash", {"sglang_files": {"a": {"content": ""}, "a/b": {"content": ""}}}, "sglang_files.a/b", "/a is a file"
    ),
    "below a file of another layer": Refusal(
        "file.name-clash",
        {"sglang_files": {"a/b": {"content": ""}}, "sglang_pools.decode.files": {"a": {"content": ""}}},
        "sglang_files.a/b",
        "/etc/sglang/decode-0/a is a file",
    ),
    "private key": file("file.secret", "key.pem", {"content": "-----BEGIN RSA PRIVATE KEY-----\nx\n"}, "holds a private key"),
    "router, private key": Refusal(
        "file.secret",
        {"sglang_router.files": {"k": {"content": "-----BEGIN PRIVATE KEY-----"}}},
        "sglang_router.files.k",
        "holds a private key",
        "put the key on the hosts yourself",
    ),
    "router, a path that the plan does not know": Refusal(
        "argument.bare-path",
        {"sglang_router.args.mcp-config-path": "/root/mcp.yaml"},
        "sglang_router.args.mcp-config-path",
        "'/root/mcp.yaml' names a file",
        "put the file into sglang_router.files",
    ),
    "router, unknown in an argument": Refusal(
        "file.unknown",
        {"sglang_router.args.ca-cert-paths": [{"file": "ca.pem"}]},
        "sglang_router.args.ca-cert-paths",
        "names file ca.pem",
        "add it to sglang_router.files",
    ),
    "unknown in an argument": Refusal(
        "file.unknown",
        {"sglang_args.deepep-config": {"file": "a.json"}},
        "argument deepep-config of prefill-0",
        "names file a.json",
        "sglang_files",
    ),
    "outside of the directory": Refusal(
        "file.unknown",
        {"sglang_args.deepep-config": {"file": "../decode-0/a.json"}},
        "argument deepep-config of prefill-0",
        "names file ../decode-0/a.json",
    ),
    "unknown in the environment": Refusal(
        "file.unknown", {"sglang_env.A": {"file": "a.json"}}, "environment A of decode-0", "names file a.json"
    ),
}
REFUSALS = {
    f"{kind}: {name}": refusal
    for kind, table in {"argument": ARGUMENTS, "environment": ENVIRONMENT, "file": FILES}.items()
    for name, refusal in table.items()
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_refused(refusal: Refusal) -> None:
    refusal.check()


@pytest.mark.parametrize("spelling", sorted(set(arguments.TYPED) - {"attn-dp-size"}))
def test_every_typed_argument_is_refused_with_its_variable(spelling: str) -> None:
    value = {"disaggregation-mode": "decode", "disaggregation-transfer-backend": "nixl", "enable-dp-attention": True}.get(spelling)
    words = ("config", "host", "dist-init-addr", "model-path", "served-model-name")
    value = value or ("x" if spelling in words else 7)
    option = flags.load("sglang-0.5.8").find(spelling)
    assert option is not None
    where = f"sglang_args.{option.dest.replace('_', '-')}"
    Refusal("argument.typed", {f"sglang_args.{spelling}": value}, where, "decided", arguments.TYPED[spelling]).check()


ACCEPTED: dict[str, dict[str, Any]] = {
    "another spelling": {"sglang_args.page_size": 1},
    "with dashes": {"sglang_args.--page-size": 1},
    "a value that begins with a dash": {"sglang_args.log-level": "-x"},
    "a list": {"sglang_args.cuda-graph-bs": [1, 2]},
    "taken back": {"sglang_args.max-total-tokens": None},
    "a name that is almost a secret": {"sglang_env.TOKENIZERS_PARALLELISM": "false"},
    "a URL without a password": {"sglang_router.env.A_URL": "http://198.51.100.1:3128/x"},
    "a public certificate": {"sglang_router.files": {"ca.pem": {"content": "-----BEGIN CERTIFICATE-----"}}},
    "a certificate on the host": {"sglang_router.args.tls-cert-path": "/etc/pki/tls/certs/router.pem"},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(changes: dict[str, Any]) -> None:
    found = cluster().change(changes).findings()
    assert [str(row) for row in found if row.severity in ("error", "warning")] == []
