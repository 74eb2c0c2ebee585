# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rendered command line and argument file goes through the real parser, and every value that comes out is that of the plan.

The parsers are those of the stacks, whose Python must be named:

    RAILYARD_STACK_PYTHON=/opt/sglang/sglang-0.5.8-cpu/bin/python \\
    RAILYARD_ROUTER_PYTHON=/opt/sglang/sglang-router-0.3.2/bin/python tools/unit.sh tests/unit/test_real_parsers.py

A finished stack in the cache (its folder store) does as well.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import arguments, flags, refusals
from ansible_collections.railyard.sglang.plugins.module_utils.model import tiny
from ansible_collections.railyard.sglang.tests.unit.support import playbooks
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster
from ansible_collections.railyard.sglang.tests.unit.support.playbooks import ROOT, Rendered

PYTHONS = {"engine": os.environ.get("RAILYARD_STACK_PYTHON", ""), "router": os.environ.get("RAILYARD_ROUTER_PYTHON", "")}
needs_engine = pytest.mark.skipif(not PYTHONS["engine"], reason="set RAILYARD_STACK_PYTHON to the Python of stack sglang-0.5.8-cpu")
needs_router = pytest.mark.skipif(not PYTHONS["router"], reason="set RAILYARD_ROUTER_PYTHON to the Python of stack sglang-router-0.3.2")
TABLES = {"engine": "sglang-0.5.8", "router": "sglang-router-0.3.2"}
LEAST = {"engine": ["--model-path", "/m"], "router": []}
REFUSED = refusals.SECRET_ARGUMENTS | set(refusals.PARALLEL)
# Texts that YAML, a shell, argparse or systemd could take for something else.
HARD = [
    "", "a\nb",
    "1.10", "007", "0x10", "1e3", "1_000", "true", "no", "null", "~", "None", "2026-01-01", "12:30:00", "a: b", "# x", "a b", " x ",
    "'", '"', "\\", "%h", "$HOME", "é😀", "-x", "--host=1", "-1", "- a", "{a: b}", "[1]", "&a", "*a", "!a", "@a", "|", "a,b", "=",
]  # fmt: skip


def environment() -> dict[str, str]:
    """Return this environment without what would reach into the stack's Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ANSIBLE"))}
    cpu = {"SGLANG_USE_CPU_ENGINE": "1", "HF_HUB_OFFLINE": "1", "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    return {**kept, **cpu, "PYTHONNOUSERSITE": "1"}


def parse(program: str, argvs: Sequence[list[str]], start: Sequence[list[str]] = ()) -> dict[str, Any]:
    """Return what the real parser of a program makes of argument vectors."""
    asked = {"program": program, "least": LEAST[program], "parse": list(argvs), "start": list(start)}
    command = [PYTHONS[program], str(ROOT / "tests/unit/support/parse_arguments.py")]
    done = subprocess.run(
        command, input=json.dumps(asked), env=environment(), capture_output=True, encoding="utf-8", check=False, timeout=300
    )
    rows = [line for line in done.stdout.split("\n") if line.startswith("RESULT ")]
    assert rows, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(rows[0].removeprefix("RESULT "))
    return found


def expected(option: flags.Option, value: Any) -> Any:
    """Return what a parser must make of an operator's value."""
    if option.type == "json":
        return json.loads(value) if isinstance(value, str) else value
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    if option.nargs in ("+", "*"):
        return [float(item) if option.type == "float" else item for item in (value if isinstance(value, list) else [value])]
    return float(value) if option.type == "float" else str(value) if option.type == "str" else value


def differences(parsed: dict[str, Any], wanted: dict[str, Any], defaults: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return every option whose parsed value is not the wanted one; what nobody wants must have its default."""
    full = {**defaults, **wanted}
    assert set(wanted) <= set(defaults)
    return {name: (value, full[name]) for name, value in parsed.items() if value != full[name]}


def values(table: flags.FlagTable, turn: int) -> dict[str, Any]:
    """Return a value for every option that an operator may write; another turn takes others."""
    typed = arguments.TYPED if table.name == TABLES["engine"] else arguments.ROUTER_TYPED
    found: dict[str, Any] = {}
    for index, (dest, option) in enumerate(sorted(table.options.items())):
        number = index + turn * 11
        text = HARD[number % len(HARD)]
        if dest in typed or dest in REFUSED or (option.kind == "other" and not option.nargs):
            continue
        if option.kind == "flag":
            found[dest] = True
        elif option.type == "json":
            found[dest] = [{"b": [1, None], "a": text}, json.dumps([text]), [1, 2.5], {}][number % 4]
        else:
            scalars = {"int": [7, 0, -1], "float": [1e-05, 2, 0.25], "str": [text]}[option.type]
            scalar = option.choices[number % len(option.choices)] if option.choices else scalars[number % len(scalars)]
            # argparse reads a list up to the next word with a dash.
            scalar = "x" if option.nargs and isinstance(scalar, str) and scalar.startswith("-") else scalar
            found[dest] = [scalar, scalar] if option.nargs in ("+", "*") and turn % 2 else scalar
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


@pytest.mark.parametrize("program", [pytest.param("engine", marks=needs_engine), pytest.param("router", marks=needs_router)])
def test_the_tables_are_those_of_the_parsers(program: str) -> None:
    command = [PYTHONS[program], str(ROOT / "tools/flag_table.py"), program]
    done = subprocess.run(command, env=environment(), capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == (ROOT / f"plugins/module_utils/launch/data/{TABLES[program]}.json").read_bytes()


@needs_engine
def test_the_engines_of_the_golden_plan(rendered: Rendered, model: Path, tmp_path: Path) -> None:
    table = flags.load(TABLES["engine"])
    argvs, ranks = [], []
    for host in ("p0", "p1", "d0", "d1"):
        files = rendered.files(host)
        (rank,) = rendered.plan["hosts"][host]["ranks"]
        argv = words_of_unit(files[f"/etc/systemd/system/{rank['unit']}"])
        assert argv == rank["argv"]
        argvs.append(with_files(argv, tmp_path / host, files, model))
        ranks.append(rank)
    found = parse("engine", argvs, argvs)
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
    found = parse("router", [argv[2:]], [argv[2:]])
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


TURNS = 6


@needs_engine
def test_everything_that_an_operator_may_write_reaches_the_engine(tmp_path: Path, model: Path) -> None:
    table = flags.load(TABLES["engine"])
    given = [values(table, turn) for turn in range(TURNS)]
    argvs = []
    for turn, row in enumerate(given):
        inventory = cluster(1, 1, 1, 1).change({"sglang_args": {table.options[dest].name: value for dest, value in row.items()}})
        (rank,) = inventory.plan()["hosts"]["p0"]["ranks"]
        files = {rank["argument_file"]: render_arguments(rank)}
        argvs.append(with_files(rank["argv"], tmp_path / str(turn), files, model))
    found = parse("engine", argvs)
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
    table = flags.load(TABLES["router"])
    given = [values(table, turn) for turn in range(TURNS)]
    argvs = []
    for row in given:
        inventory = cluster(1, 1, 1, 1).change({"sglang_router.args": {table.options[dest].name: value for dest, value in row.items()}})
        argvs.append(inventory.plan()["routers"][0]["argv"][2:])
    found = parse("router", argvs)
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
    for program, path in PYTHONS.items():
        assert not path or os.access(path, os.X_OK), f"{program}: {path} is not a program"
    assert sys.version_info >= (3, 11)
