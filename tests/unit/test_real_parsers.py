# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rendered command line and argument file goes through the real parser, and every value that comes out is that of the plan.

The parsers are those of the stacks, whose Python must be named:

    RAILYARD_STACK_PYTHON=/opt/sglang/sglang-0.5.8-cpu/bin/python \\
    RAILYARD_ROUTER_PYTHON=/opt/sglang/sglang-router-0.3.2/bin/python tools/unit.sh tests/unit/test_real_parsers.py

A finished stack in the cache (its folder store) does as well. Where there is no stack of a version, its parser is enough:

    tools/flag_table.sh sglang==0.5.23 DIR && RAILYARD_STACK_0523_PYTHON=DIR/bin/python tools/unit.sh tests/unit/test_real_parsers.py
    tools/flag_table.sh smg==1.13.0 DIR && RAILYARD_SMG_PYTHON=DIR/bin/python tools/unit.sh tests/unit/test_real_parsers.py
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import arguments, catalogue, flags, flagtable, refusals
from ansible_collections.railyard.sglang.plugins.module_utils.model import tiny
from ansible_collections.railyard.sglang.tests.unit.support import playbooks
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster
from ansible_collections.railyard.sglang.tests.unit.support.parsers import LEAST, NEEDS, PYTHONS, VARIABLES, environment, parse
from ansible_collections.railyard.sglang.tests.unit.support.playbooks import ROOT, Rendered

needs_engine, needs_router = NEEDS["sglang-0.5.8"], NEEDS["sglang-router-0.3.2"]
of_every_table = pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS[name]) for name in VARIABLES])
OLD, ROUTER = "sglang-0.5.8", "sglang-router-0.3.2"
# Texts that YAML, a shell, argparse or systemd could take for something else.
HARD = [
    "", "a\nb",
    "1.10", "007", "0x10", "1e3", "1_000", "true", "no", "null", "~", "None", "2026-01-01", "12:30:00", "a: b", "# x", "a b", " x ",
    "'", '"', "\\", "%h", "$HOME", "é😀", "-x", "--host=1", "-1", "- a", "{a: b}", "[1]", "&a", "*a", "!a", "@a", "|", "a,b", "=",
]  # fmt: skip

TURNS = 6
# Every option at once makes no sense together: only the way of each value to the program is looked at.
ANYTHING = {rule.id: "all options at once, to see their values arrive" for rule in catalogue.RULES.values() if rule.waivable}


# Options whose values their parser turns into something else than a text.
PARSED: dict[str, Callable[[Any], Any]] = {
    "quantization_param_path": lambda value: None if value in ("None", "") else value,
    "cache_boundaries": lambda value: [int(item) for item in value.split(",")],
    "encode": lambda value: [value if isinstance(value, list) else [value]],
    "mm_allowed_media_domains": lambda value: [item.strip() for item in value.split(",") if item.strip()],
}


def expected(option: flags.Option, value: Any) -> Any:
    """Return what a parser must make of an operator's value."""
    if option.type == "json":
        return json.loads(value) if isinstance(value, str) else value
    if option.dest in PARSED:
        return PARSED[option.dest](value)
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    if option.kind == "append" and not option.nargs:
        return value if isinstance(value, list) else [value]
    if option.nargs in ("+", "*"):
        return [float(item) if option.type == "float" else item for item in (value if isinstance(value, list) else [value])]
    return float(value) if option.type == "float" else str(value) if option.type == "str" else value


def differences(parsed: dict[str, Any], wanted: dict[str, Any], defaults: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return every option whose parsed value is not the wanted one; what nobody wants must have its default."""
    full = {**defaults, **wanted}
    assert set(wanted) <= set(defaults)
    return {name: (value, full[name]) for name, value in parsed.items() if value != full[name]}


# Values that are looked at while the command line is read; and one of two options of smg that exclude each other.
FIXED = {"cuda_graph_config": {}, "log_level": "debug"}
EXCLUDED = {"service_discovery"}


def is_written_by_nobody(table: flags.FlagTable, option: flags.Option) -> bool:
    """Return whether an option is the topology's, a secret, or one that the program does not want any more."""
    typed = arguments.TYPED if table.is_engine else arguments.ROUTER_TYPED
    return option.dest in arguments.by_dest(table, typed) or option.dest in refusals.SECRET_ARGUMENTS or bool(option.deprecated)


def scalar(option: flags.Option, number: int) -> Any:
    """Return one value of an option; another number gives another one."""
    text = HARD[number % len(HARD)]
    if option.dest in FIXED:
        return FIXED[option.dest]
    if option.type == "json":
        return [{"b": [1, None], "a": text}, json.dumps([text]), [1, 2.5], {}][number % 4]
    if option.choices:
        return option.choices[number % len(option.choices)]
    least = -1 if option.minimum is None else option.minimum
    rows = {"int": [7, 0, least], "float": [1e-05, 2, 0.25], "str": [text], "size": [4096, 0, 7], "int-list": ["1", "1,20"]}[option.type]
    # argparse reads a list up to the next word with a dash.
    return "x" if option.nargs and text.startswith("-") and option.type == "str" else rows[number % len(rows)]


def sensible(table: flags.FlagTable, option: flags.Option, value: Any) -> Any:
    """Return a value that the plan takes, where it refuses numbers that the parser would take."""
    if not table.is_engine or not isinstance(value, (int, float)):
        return value
    return 0.25 if option.dest in flags.SHARES else max(value, flags.LEAST.get(option.dest, value))


def values(table: flags.FlagTable, turn: int) -> dict[str, Any]:
    """Return a value for every option that an operator may write; another turn takes others."""
    found: dict[str, Any] = {}
    for index, (dest, option) in enumerate(sorted(table.options.items())):
        if is_written_by_nobody(table, option) or dest in EXCLUDED:
            continue
        if option.kind in ("flag", "switch"):
            found[dest] = option.kind == "flag" or bool((turn + index) % 2)
        else:
            value = sensible(table, option, scalar(option, index + turn * 11))
            several = option.nargs in ("+", "*") or (option.kind == "append" and not option.nargs)
            found[dest] = [value, value] if several and turn % 2 else value
    return found


def words_of_unit(text: str) -> list[str]:
    """Return the argument vector of a unit's ExecStart, from -m MODULE on."""
    line = text.split("ExecStart=", 1)[1].replace("\\\n", " ").split("\n", 1)[0]
    return [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)][1:]


def with_files(argv: list[str], directory: Path, files: dict[str, str], model: Path) -> list[str]:
    """Return an engine's argument vector without -m MODULE, its argument file and its model where this machine has them."""
    assert argv[:3] == ["-m", "sglang.launch_server", "--config"]
    directory.mkdir()
    (directory / "arguments.yaml").write_text(files[argv[3]], encoding="utf-8")
    place = argv.index("--model-path") + 1
    return ["--config", str(directory / "arguments.yaml"), *argv[4:place], str(model), *argv[place + 1 :]]


@pytest.fixture(name="model", scope="module")
def write_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    tiny.write(str(path))
    return path


@of_every_table
def test_the_tables_are_those_of_the_parsers(name: str) -> None:
    command = [PYTHONS[name], str(ROOT / "tools/flag_table.py"), flags.load(name).distribution]
    # What a default could be read from must not reach a table.
    secrets = dict.fromkeys(("ATP_PASSWORD", "POSTGRES_DB_URL", "REDIS_URL"), "from-the-environment")
    done = subprocess.run(command, env={**environment(), **secrets}, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == (ROOT / f"plugins/module_utils/launch/data/{name}.json").read_bytes()


def test_every_table_is_compared() -> None:
    assert set(VARIABLES) == set(flagtable.names())


@of_every_table
def test_the_defaults_are_those_of_the_parser(name: str) -> None:
    table = flags.load(name)
    found = parse(name)["defaults"]
    wanted = {dest: default for dest, default in table.defaults.items() if dest in found}
    # An old spelling of another option has a key of its own in the table, and none in what is parsed.
    assert [dest for dest in table.options if dest not in found] == {"sglang-0.5.23": ["monokernel_backend"]}.get(name, [])
    assert {**found, **wanted, "model_path": None} == {**found, "model_path": None}


@of_every_table
def test_every_option_is_taken_as_the_table_says(name: str) -> None:
    table = flags.load(name)
    least = LEAST[table.distribution]
    given = [values(table, turn) for turn in range(TURNS)]
    words = [[word for dest, value in row.items() for word in flags.words(table.options[dest], value)] for row in given]
    found = parse(name, [least + row for row in words])
    assert len(given[0]) > 80
    for row, parsed in zip(given, found["parsed"], strict=True):
        wanted = {dest: expected(table.options[dest], value) for dest, value in row.items()}
        path = {"model_path": "/m"} if table.is_engine else {}
        assert differences(parsed, {**wanted, **path}, found["defaults"]) == {}


ENGINES, ROUTERS = ("sglang-0.5.8", "sglang-0.5.23"), ("sglang-router-0.3.2", "smg-1.13.0")
UNKNOWN, NO_VALUE = "unrecognized arguments", "expected at least one argument"
# tables, words, what the parser says: why an argument is refused, or that it is not the parser that refuses it
REFUSED: list[tuple[tuple[str, ...], list[str], str]] = [
    (ENGINES, ["--kv-transfer-config", "{}"], UNKNOWN),
    (ENGINES, ["--disaggregation-decode-url", "x"], UNKNOWN),
    (ENGINES, ["--kv-connector-url", "x"], UNKNOWN),
    (ENGINES, ["--gpu-memory-utilization", "0.9"], UNKNOWN),
    (ENGINES, ["--page_size", "1"], UNKNOWN),
    (ENGINES, ["--page-siz", "1"], ""),
    (ENGINES, ["--mem-fraction", "0.5"], ""),
    (ENGINES, ["--disaggregation", "x"], "ambiguous option: --disaggregation could match"),
    (ENGINES, ["--page-size", "x"], "invalid human_readable_int value|invalid int value"),
    (ENGINES, ["--disaggregation-transfer-backend", "rdma"], "invalid choice: 'rdma'"),
    (ENGINES, ["--tp-size", "1.5"], "invalid int value"),
    (("sglang-0.5.8",), ["--context-length", "64k"], "invalid int value"),
    (("sglang-0.5.23",), ["--context-length", "64k"], ""),
    (("sglang-0.5.8",), ["--cuda-graph-bs", "1"], ""),
    (("sglang-0.5.23",), ["--cuda-graph-bs", "1"], "ambiguous option: --cuda-graph-bs could match"),
    (("sglang-0.5.8",), ["--attn-dp-size", "1"], UNKNOWN),
    (("sglang-0.5.23",), ["--attn-dp-size", "1"], ""),
    (("sglang-0.5.23",), ["--disaggregation-decode-tp", "1"], UNKNOWN),
    (("sglang-0.5.23",), ["--enable-dp-attention", "--disable-cuda-graph", "--monokernel-backend", "amd"], ""),
    (("sglang-0.5.8",), ["--hybrid-kvcache-ratio"], ""),
    (ENGINES, ["--custom-weight-loader", "--host=x"], ""),
    (ENGINES, ["--custom-weight-loader", "a", "-x"], UNKNOWN),
    (ENGINES, ["--custom-weight-loader"], ""),
    (ENGINES, ["--bucket-time-to-first-token"], NO_VALUE),
    (ENGINES, ["--bucket-time-to-first-token", "-0.5", "-1"], ""),
    (ENGINES, ["--bucket-time-to-first-token", "-1e-05"], f"{NO_VALUE}|{UNKNOWN}"),
    (ROUTERS, ["--page-size", "1"], UNKNOWN),
    (("sglang-router-0.3.2",), ["--mini-lb"], ""),
    (("smg-1.13.0",), ["--mini-lb"], UNKNOWN),
    (("smg-1.13.0",), ["--sse-keepalive-secs", "-1"], "expected a non-negative integer"),
    (("sglang-router-0.3.2",), ["--policy", "none"], "invalid choice: 'none'"),
]


@of_every_table
def test_the_parser_refuses_what_we_say_that_it_refuses(name: str) -> None:
    rows = [(words, text) for tables, words, text in REFUSED if name in tables]
    least = LEAST[flags.load(name).distribution]
    found = parse(name, refused=[least + words for words, _text in rows])["refused"]
    wrong = [(words, text, said) for (words, text), said in zip(rows, found, strict=True) if not re.search(text or "^$", said)]
    assert wrong == []


@pytest.mark.parametrize("name", [pytest.param(name, marks=NEEDS[name]) for name in ENGINES])
def test_what_an_argument_file_can_carry(name: str, tmp_path: Path) -> None:
    table = flags.load(name)
    row = {dest: value for dest, value in values(table, 0).items() if table.options[dest].fits_argument_file}
    fits = {dest: value for dest, value in row.items() if not isinstance(value, (list, dict)) and not str(value).startswith("-")}
    content = json.dumps({table.options[dest].name: value for dest, value in fits.items()}, ensure_ascii=False)
    (tmp_path / "fits.yaml").write_text(content, encoding="utf-8")
    others = [option for option in table.options.values() if option.kind == "switch" or not (option.plain or option.choices)]
    argvs = []
    for option in others:
        path = tmp_path / f"{option.dest}.yaml"
        path.write_text(json.dumps({option.name: True}), encoding="utf-8")
        argvs.append(["--config", str(path), *LEAST["sglang"]])
    found = parse(name, [["--config", str(tmp_path / "fits.yaml"), *LEAST["sglang"]]], refused=argvs)
    wanted = {dest: expected(table.options[dest], value) for dest, value in fits.items()}
    assert differences(found["parsed"][0], {**wanted, "model_path": "/m"}, found["defaults"]) == {}
    assert len(fits) > 200
    assert [option.dest for option, said in zip(others, found["refused"], strict=True) if "nsupported" not in said] == []
    assert len(others) == {"sglang-0.5.8": 3, "sglang-0.5.23": 15}[name]


@needs_engine
def test_the_engines_of_the_golden_plan(rendered: Rendered, model: Path, tmp_path: Path) -> None:
    table = flags.load(OLD)
    argvs, ranks = [], []
    for host in ("p0", "p1", "d0", "d1"):
        files = rendered.files(host)
        (rank,) = rendered.plan["hosts"][host]["ranks"]
        argv = words_of_unit(files[f"/etc/systemd/system/{rank['unit']}"])
        assert argv == rank["argv"]
        argvs.append(with_files(argv, tmp_path / host, files, model))
        ranks.append(rank)
    found = parse(OLD, argvs, argvs)
    written = {"max_total_tokens": 4096, "max_running_requests": 16, "mem_fraction_static": 0.1, "context_length": 2048}
    for rank, parsed, started in zip(ranks, found["parsed"], found["started"]):
        head = ranks[0] if rank["pool"] == "prefill" else ranks[2]
        wanted = {
            **written,
            "model_path": str(model),
            "served_model_name": "tiny",
            "disaggregation_mode": rank["pool"],
            "disaggregation_bootstrap_port": 8998,
            "disaggregation_transfer_backend": "mooncake",
            "host": rank["address"],
            "port": {"prefill": 30000, "decode": 30001}[rank["pool"]],
            "tensor_parallel_size": 2,
            "nnodes": 2,
            "node_rank": rank["rank"],
            "dist_init_addr": f"{head['address']}:5000",
            "device": "cpu",
            "attention_backend": "torch_native",
            "sampling_backend": "pytorch",
            "grammar_backend": "none",
            "uvicorn_access_log_exclude_prefixes": ["/health", "/metrics"],
            **dict.fromkeys(("disable_overlap_schedule", "disable_cuda_graph", "skip_server_warmup", "sleep_on_idle"), True),
        }
        assert set(wanted) <= set(table.options)
        assert differences(parsed, wanted, found["defaults"]) == {}
        # The program takes it, and what it settles by itself does not touch what the plan says.
        names = {"tensor_parallel_size": "tp_size"}
        assert {name: started[names.get(name, name)] for name in wanted} == wanted


@needs_router
def test_the_router_of_the_golden_plan(rendered: Rendered) -> None:
    argv = words_of_unit(rendered.files("r0")["/etc/systemd/system/sglang-router.service"])
    assert argv == rendered.plan["routers"][0]["argv"]
    assert argv[:2] == ["-m", "sglang_router.launch_router"]
    found = parse(ROUTER, [argv[2:]], [argv[2:]])
    settings = {
        "host": "198.51.100.210",
        "port": 8000,
        "prometheus_host": "198.51.100.210",
        "prometheus_port": 29000,
        "pd_disaggregation": True,
        "policy": "round_robin",
        "health_check_interval_secs": 3,
        "health_check_timeout_secs": 20,
        "health_failure_threshold": 2,
        "health_success_threshold": 1,
        "worker_startup_check_interval": 5,
    }
    workers = {"prefill": [["http://203.0.113.10:30000", "8998"]], "decode": [["http://203.0.113.110:30001"]]}
    assert differences(found["parsed"][0], {**settings, **workers}, found["defaults"]) == {}
    (started,) = found["started"]
    assert {name: started[name] for name in settings} == settings
    assert started["prefill_urls"] == [["http://203.0.113.10:30000", 8998]]
    assert started["decode_urls"] == ["http://203.0.113.110:30001"]


@needs_engine
def test_everything_that_an_operator_may_write_reaches_the_engine(tmp_path: Path, model: Path) -> None:
    table = flags.load(OLD)
    given = [values(table, turn) for turn in range(TURNS)]
    argvs = []
    for turn, row in enumerate(given):
        written = {table.options[dest].name: value for dest, value in row.items()}
        inventory = cluster(1, 1, 1, 1).change({"sglang_args": written, "sglang_waive": ANYTHING})
        (rank,) = inventory.plan()["hosts"]["p0"]["ranks"]
        files = {rank["argument_file"]: render_arguments(rank)}
        argvs.append(with_files(rank["argv"], tmp_path / str(turn), files, model))
    found = parse(OLD, argvs)
    derived = {
        "model_path": str(model),
        "served_model_name": "tiny",
        "disaggregation_mode": "prefill",
        "disaggregation_bootstrap_port": 8998,
        "disaggregation_transfer_backend": "mooncake",
        "host": "203.0.113.10",
        "port": 30000,
        "tensor_parallel_size": 1,
        "nccl_port": 5000,
    }
    for row, parsed in zip(given, found["parsed"]):
        wanted = {**derived, **{dest: expected(table.options[dest], value) for dest, value in row.items()}}
        assert differences(parsed, wanted, found["defaults"]) == {}


@needs_router
def test_everything_that_an_operator_may_write_reaches_the_router() -> None:
    table = flags.load(ROUTER)
    given = [values(table, turn) for turn in range(TURNS)]
    argvs = []
    for row in given:
        inventory = cluster(1, 1, 1, 1).change({"sglang_router.args": {table.options[dest].name: value for dest, value in row.items()}})
        argvs.append(inventory.plan()["routers"][0]["argv"][2:])
    found = parse(ROUTER, argvs)
    derived = {
        "host": "198.51.100.210",
        "port": 8000,
        "prometheus_host": "198.51.100.210",
        "prometheus_port": 29000,
        "pd_disaggregation": True,
        "prefill": [["http://203.0.113.10:30000", "8998"]],
        "decode": [["http://203.0.113.110:30001"]],
    }
    for row, parsed in zip(given, found["parsed"]):
        wanted = {**derived, **{dest: expected(table.options[dest], value) for dest, value in row.items()}}
        assert differences(parsed, wanted, found["defaults"]) == {}


def render_arguments(rank: dict[str, Any]) -> str:
    """Return the argument file of a rank, by the role's template and Ansible's own engine."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    template = (playbooks.ROOT / "roles/engine/templates/arguments.yaml.j2").read_text(encoding="utf-8")
    return str(Templar(loader=DataLoader(), variables={"rank": rank}).template(trust_as_template(template)))


def test_a_python_that_is_named_is_there() -> None:
    for name, path in PYTHONS.items():
        assert not path or os.access(path, os.X_OK), f"{name}: {path} is not a program"
    assert sys.version_info >= (3, 11)
