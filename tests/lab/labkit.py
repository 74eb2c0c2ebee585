# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests on a lab have in common: playbook runs as data, commands on hosts, requests through the router."""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "output" / "lab"
INVENTORY = "inventory/lab"
#: Seconds that an engine took to start in the first run on a lab, on the machine that bounds in seconds were measured on (two cores,
#: nothing else to do), for each engine that starts at the same time: 41 s for two, 82 s for four.
START_SECONDS = 21.0
#: The bounds are for no machine that is slower than this, and for no engine that has become slower to start.
SLOWEST = 2.5
# Actions that run on the controller and touch no host.
CONTROLLER_ACTIONS = frozenset(
    {
        "railyard.sglang.host_compare",
        "railyard.sglang.network_report",
        "railyard.sglang.plan",
        "railyard.sglang.serving_report",
        "ansible.builtin.set_fact",
        "ansible.builtin.group_by",
        "ansible.builtin.debug",
        "ansible.builtin.fail",
        "ansible.builtin.validate_argument_spec",
    }
)


def cache() -> Path:
    """Return the cache directory, as the tools and the inventory find it."""
    given = os.environ.get("RAILYARD_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(given) if given else Path(base) / "railyard-sglang"


def lab_variables() -> dict[str, Any]:
    """Return the cluster variables of the lab's inventory, as written."""
    return yaml.safe_load((ROOT / INVENTORY / "group_vars" / "all.yml").read_text(encoding="utf-8"))


def merged(base: Any, change: Any) -> Any:
    """Return base with the keys of change in it, at any depth."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return {**base, **{key: merged(base.get(key), value) for key, value in change.items()}}


def override(**change: Any) -> dict[str, Any]:
    """Return lab variables with a change deep inside: override(sglang_pools={"decode": {"port": 30009}})."""
    written = lab_variables()
    return {name: merged(written.get(name), value) for name, value in change.items()}


@dataclass
class Run:
    """What a playbook run did.

    :ivar rc: its exit status.
    :ivar output: what it printed.
    :ivar seconds: how long it took.
    :ivar events: the lines of the callback result_lines.
    """

    rc: int
    output: str
    seconds: float
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def results(self) -> list[dict[str, Any]]:
        """Every result of a host."""
        return [event for event in self.events if event["event"] == "result"]

    @property
    def plan(self) -> dict[str, Any]:
        """The plan that the run computed; where facts completed it, the completed one."""
        return [row["data"]["plan"] for row in self.results if row["action"] == "railyard.sglang.plan" and "plan" in row["data"]][-1]

    @property
    def changed(self) -> dict[str, list[str]]:
        """Names of the tasks that changed something, by host."""
        found: dict[str, list[str]] = {}
        for row in self.results:
            if row["changed"] and row["kind"] == "ok":
                found.setdefault(row["host"], []).append(row["task"])
        return found

    @property
    def failures(self) -> dict[str, str]:
        """Messages of failures, by host."""
        found: dict[str, str] = {}
        for row in self.results:
            if row["kind"] in ("failed", "unreachable"):
                items = [item.get("msg", "") for item in row["data"].get("results", []) if item.get("failed")]
                found[row["host"]] = "\n".join([row["msg"], *items])
        return found

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The totals of every host; empty when the run did not come to its end."""
        return next((event["hosts"] for event in self.events if event["event"] == "end"), {})

    def on_hosts(self) -> list[dict[str, Any]]:
        """Return the results that cost something on a host."""
        return [row for row in self.results if row["kind"] != "skipped" and row["action"] not in CONTROLLER_ACTIONS]

    def plays_on_hosts(self) -> set[str]:
        """Return the plays that did something on a host."""
        return {row["play"] for row in self.on_hosts()}

    def succeeded(self) -> Run:
        """Return itself, or fail the test with the output."""
        assert self.rc == 0, self.output[-4000:]
        assert self.recap, self.output[-4000:]
        return self

    def refused(self) -> str:
        """Return everything that the run printed, on one line, after it has failed as it should."""
        assert self.rc != 0, self.output
        return " ".join(self.output.split())


def descendants(pid: int) -> list[int]:
    """Return the processes below one, whatever group or session they are in."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(words[1]), []).append(int(path.parent.name))
    found: list[int] = []
    front = [pid]
    while front:
        front = [child for parent in front for child in parents.get(parent, [])]
        found += front
    return found


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


class Running:
    """A playbook run in a process group of its own, to be followed and interrupted."""

    def __init__(self, command: list[str], environment: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        self.printed = log.with_suffix(".out")
        self.started = time.monotonic()
        with self.printed.open("w", encoding="utf-8") as stream:
            self.process = subprocess.Popen(
                # A test run in the background is born with SIGINT ignored, and so would be what it starts.
                ["env", "--default-signal=INT", *command],
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def events(self) -> list[dict[str, Any]]:
        """Return what was written so far; a line that is being written does not count."""
        text = self.log.read_text(encoding="utf-8") if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def until(self, what: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        """Wait until an event has come."""
        end = time.monotonic() + seconds
        while not any(what(event) for event in self.events()):
            assert self.process.poll() is None, self.printed.read_text(encoding="utf-8")
            assert time.monotonic() < end, self.printed.read_text(encoding="utf-8")
            time.sleep(0.05)

    def interrupt(self) -> int:
        """Press Ctrl-C, once more when nothing happens (ansible-core can hang when it was just forking), and return the exit status."""
        family: set[int] = set()
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGKILL):
            family |= set(descendants(self.process.pid))
            os.killpg(self.process.pid, number)
            try:
                self.process.wait(15)
                break
            except subprocess.TimeoutExpired:
                continue
        _kill(sorted(family))
        assert number == signal.SIGINT, "two Ctrl-C did not end the run: it had to be killed, which is another test"
        return self.process.wait(15)

    def kill(self) -> int:
        """Let the controller die: the run and all that it started, at once. Stopped first, it starts nothing more meanwhile."""
        ended = self.process.poll()
        if ended is not None:
            return ended
        os.kill(self.process.pid, signal.SIGSTOP)
        _kill([self.process.pid, *descendants(self.process.pid)])
        return self.process.wait(15)

    def result(self, seconds: float) -> Run:
        """Wait for the end; a run that takes longer is killed and fails the test."""
        try:
            rc = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return Run(rc, self.printed.read_text(encoding="utf-8"), time.monotonic() - self.started, self.events())


# Runs on the router's host; prints one JSON object. Waits for an answer with all its tokens, or sends one request.
CLIENT = r"""
import json, sys, time, urllib.request
order = json.loads(sys.stdin.read())
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def ask(timeout):
    body = json.dumps(order["body"]).encode() if order["body"] is not None else None
    request = urllib.request.Request(order["url"], body, {"Content-Type": "application/json"})
    try:
        with opener.open(request, timeout=timeout) as answer:
            return {"status": answer.status, "text": answer.read().decode("utf-8", "replace")}
    except Exception as error:
        text = error.read().decode("utf-8", "replace") if hasattr(error, "read") else str(error)
        return {"status": getattr(error, "code", 0), "text": text}
start = time.monotonic()
while True:
    left = order["seconds"] - (time.monotonic() - start)
    answer = ask(max(0.5, min(order["timeout"], left)))
    answer["seconds"] = time.monotonic() - start
    whole = False
    if answer["status"] == 200 and order["tokens"]:
        whole = json.loads(answer["text"]).get("usage", {}).get("completion_tokens") == order["tokens"]
    if not order["tokens"] or whole or answer["seconds"] >= order["seconds"]:
        break
    time.sleep(0.3)
answer["whole"] = whole
print(json.dumps(answer))
"""


class Lab:
    """A lab of this machine, with its own name and shape, and the cluster on it."""

    def __init__(self, name: str, shape: str, scratch: Path) -> None:
        self.name = name
        self.shape = shape
        self.scratch = scratch
        self.number = 0
        self.plan: dict[str, Any] = {}
        # How much slower than the machine of the bounds this one is; set once engines have started here.
        self.pace = 1.0
        # What the cluster was last converged with; every run has it, unless it names its own.
        self.variables: dict[str, Any] = {}
        self.log = OUTPUT / f"{name}.json"

    # --- playbooks

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a command on this lab."""
        return {
            **os.environ,
            "RAILYARD_CACHE": str(cache()),
            "RAILYARD_LAB_NAME": self.name,
            "RAILYARD_LAB_SHAPE": self.shape,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/plugins/callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "railyard.sglang.stages,result_lines",
            "ANSIBLE_FORCE_COLOR": "0",
            **more,
        }

    def start(
        self,
        *arguments: str,
        playbook: str = "site.yml",
        variables: Mapping[str, Any] | None = None,
        inventory: str | None = INVENTORY,
        cwd: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> Running:
        """Start a playbook run.

        :param variables: extra variables; for a part of a map see C(override).
        """
        self.number += 1
        log = self.scratch / f"{self.number:03d}.jsonl"
        command = ["ansible-playbook", playbook, *arguments]
        if inventory is not None:
            command[1:1] = ["-i", inventory]
        variables = self.variables if variables is None else variables
        if variables:
            file = self.scratch / f"{self.number:03d}-variables.json"
            file.write_text(json.dumps(dict(variables)), encoding="utf-8")
            command += ["-e", f"@{file}"]
        given = self.environment() if environment is None else dict(environment)
        return Running(command, {**given, "RAILYARD_RESULT_LINES": str(log)}, cwd, log)

    def play(self, *arguments: str, seconds: float = 420, **more: Any) -> Run:
        """Run a playbook (site.yml, unless another is named) to its end."""
        run = self.start(*arguments, **more).result(seconds)
        self.record("playbook runs", {"arguments": " ".join(arguments), "seconds": round(run.seconds, 1), "rc": run.rc})
        return run

    def up(self) -> None:
        """Start the hosts."""
        self.play(playbook="playbooks/lab_up.yml", seconds=300).succeeded()

    def down(self) -> None:
        """Remove the lab."""
        self.play(playbook="playbooks/lab_down.yml", seconds=120).succeeded()

    def converge(self, *arguments: str, **more: Any) -> Run:
        """Run site.yml, which must succeed, and keep its plan and variables."""
        run = self.play(*arguments, **more).succeeded()
        self.keep(run, more.get("variables"))
        return run

    def keep(self, run: Run, variables: Mapping[str, Any] | None) -> None:
        """Remember what the cluster runs with now."""
        self.plan = run.plan
        self.variables = self.variables if variables is None else dict(variables)

    def measure_pace(self) -> None:
        """Compare how long the engines took to start here with the machine of the bounds, whose bounds hold on a faster one, too."""
        ranks = self.ranks()
        seconds = [self._start_seconds(rank) for rank in ranks if rank["rank"] == 0]
        pace = sum(seconds) / len(seconds) / (START_SECONDS * len(ranks))
        self.record("start of the engines", {"seconds": [round(value, 1) for value in seconds], "pace": round(pace, 2)})
        self.pace = min(max(1.0, pace), SLOWEST)

    def _start_seconds(self, rank: Mapping[str, Any]) -> float:
        """Return the seconds from the start of a rank's process to its word that it is ready."""
        unit = rank["unit"]
        begun = int(self.show(rank["host"], unit, "ExecMainStartTimestampMonotonic")["ExecMainStartTimestampMonotonic"])
        lines = self.ssh(rank["host"], f"journalctl --unit {unit} --output json --output-fields MESSAGE --grep 'fired up' --lines 1")
        return (int(json.loads(lines)["__MONOTONIC_TIMESTAMP"]) - begun) / 1e6

    def record(self, what: str, value: Any) -> None:
        """Add a figure to tests/output/lab/<lab>.json."""
        OUTPUT.mkdir(parents=True, exist_ok=True)
        rows = json.loads(self.log.read_text(encoding="utf-8")) if self.log.exists() else {}
        rows.setdefault(what, []).append(value)
        self.log.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")

    # --- hosts

    def _ssh(self, host: str, command: str) -> list[str]:
        return [str(ROOT / "roles/lab/files/lab-ssh.sh"), "-F", str(cache() / "lab" / self.name / "ssh_config"), host, command]

    def run(self, host: str, command: str, stdin: str = "", seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host as root and return what came out of it, whatever it was."""
        return subprocess.run(
            self._ssh(host, command),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            cwd=ROOT,
            env=self.environment(),
        )

    def ssh(self, host: str, command: str, stdin: str = "", seconds: float = 60) -> str:
        """Run a shell command on a host as root; return its output, or fail the test."""
        done = self.run(host, command, stdin, seconds)
        assert done.returncode == 0, f"{host}: {command}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def background(self, host: str, command: str) -> subprocess.Popen[str]:
        """Start a command on a host and return at once."""
        return subprocess.Popen(
            self._ssh(host, command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=self.environment(),
        )

    def python(self, host: str, program: str, stdin: str = "", seconds: float = 60) -> str:
        """Run a Python program on a host."""
        encoded = base64.b64encode(program.encode()).decode()
        return self.ssh(host, python_command(encoded), stdin, seconds)

    # --- what the plan says

    def ranks(self, instance: str = "") -> list[dict[str, Any]]:
        """Return the planned ranks of one instance, or of all."""
        found = [rank for row in self.plan["instances"] for rank in row["ranks"]]
        return [rank for rank in found if not instance or rank["instance"] == instance]

    def rank(self, instance: str, number: int) -> dict[str, Any]:
        """Return one planned rank."""
        return next(rank for rank in self.ranks(instance) if rank["rank"] == number)

    @property
    def router(self) -> dict[str, Any]:
        """The planned router."""
        return self.plan["routers"][0]

    def units(self) -> list[tuple[str, str]]:
        """Return every planned unit as host and name."""
        return [(rank["host"], rank["unit"]) for rank in self.ranks()] + [(self.router["host"], self.router["unit"])]

    # --- what runs

    def show(self, host: str, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit."""
        text = self.ssh(host, f"systemctl show --property {','.join(names)} {unit}")
        return dict(line.split("=", 1) for line in text.splitlines())

    def pids(self, host: str, unit: str) -> list[int]:
        """Return every process of a unit (the tree of control groups is a hybrid one on some machines)."""
        tail = f"system.slice/{unit}/cgroup.procs"
        return [int(word) for word in self.run(host, f"cat /sys/fs/cgroup/systemd/{tail} || cat /sys/fs/cgroup/{tail}").stdout.split()]

    def everywhere(self, command: str) -> dict[str, str]:
        """Run a shell command on every planned host at once and return the outputs."""
        hosts = list(self.plan["hosts"])
        with ThreadPoolExecutor(len(hosts)) as pool:
            return dict(zip(hosts, pool.map(lambda host: self.ssh(host, command), hosts)))

    def processes(self) -> dict[str, tuple[str, str]]:
        """Return main process and start time of every planned unit, by host and unit name."""
        names = sorted({unit for _host, unit in self.units()})
        shown = self.everywhere(f"systemctl show --property Id,MainPID,ExecMainStartTimestampMonotonic {' '.join(names)}")
        found = {}
        for host, text in shown.items():
            for block in text.split("\n\n"):
                state = dict(line.split("=", 1) for line in block.splitlines())
                found[f"{host} {state['Id']}"] = (state["MainPID"], state["ExecMainStartTimestampMonotonic"])
        return {f"{host} {unit}": found[f"{host} {unit}"] for host, unit in self.units()}

    def state(self) -> dict[str, str]:
        """Return a fingerprint of what the collection manages on every host: files, links, processes."""
        look = (
            "find /etc/sglang /etc/systemd/system /etc/sysusers.d /etc/systemd/journald.conf.d /usr/local/bin /opt/models "
            "-type f -exec sha256sum {} + 2>/dev/null | sort; "
            "find /opt/sglang -maxdepth 1 -type l -printf '%p %l\\n' 2>/dev/null | sort; "
            "systemctl show --property Id,MainPID,UnitFileState 'sglang-*.service'"
        )
        return self.everywhere(look)

    def command_line(self, rank: Mapping[str, Any]) -> list[str]:
        """Return the words of a rank's running main process."""
        pid = self.show(rank["host"], rank["unit"], "MainPID")["MainPID"]
        return self.ssh(rank["host"], f"tr '\\0' '\\n' < /proc/{pid}/cmdline").splitlines()

    # --- requests

    def request(
        self,
        path: str,
        body: Any = None,
        *,
        timeout: float = 60,
        tokens: int = 0,
        seconds: float = 0,
        url: str = "",
        host: str = "",
    ) -> dict[str, Any]:
        """Ask the router from its host.

        :param tokens: when given, ask again until a chat has as many tokens, at most for so many seconds.
        :return: status (0: none), text, seconds and, with tokens, whether the answer is whole.
        """
        order = {
            "url": (url or self.router["url"]) + path,
            "body": body,
            "timeout": timeout,
            "tokens": tokens,
            "seconds": seconds or timeout,
        }
        return json.loads(self.python(host or self.router["host"], CLIENT, json.dumps(order), (seconds or timeout) + 30))

    def chat_body(self, tokens: int = 8, prompt: str = "Say hello.", **more: Any) -> dict[str, Any]:
        """Return a chat request that must give so many tokens."""
        return {
            "model": self.router["model"],
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            **more,
        }

    def generated(self, prompt: list[int], count: int, url: str = "") -> list[int]:
        """Return the greedy answer to a prompt, both as numbers of tokens, through the router or from another server."""
        body = {"input_ids": prompt, "sampling_params": {"temperature": 0, "max_new_tokens": count, "ignore_eos": True}}
        answer = self.request("/generate", body, url=url, timeout=120)
        assert answer["status"] == 200, answer
        data = json.loads(answer["text"])
        data = data[0] if isinstance(data, list) else data
        assert data["meta_info"]["completion_tokens"] == count
        return list(data["output_ids"])

    def serving(self, seconds: float, tokens: int = 8) -> float:
        """Wait until a chat through the router has all its tokens, and return the seconds that it took."""
        answer = self.request("/v1/chat/completions", self.chat_body(tokens), timeout=10, tokens=tokens, seconds=seconds)
        assert answer["whole"], f"no whole answer after {answer['seconds']:.0f} s: {answer['status']} {answer['text'][:500]}"
        return float(answer["seconds"])


def python_command(encoded: str) -> str:
    """Return the shell command that runs a base64 Python program."""
    return "python3 -c " + shlex.quote(f"import base64; exec(base64.b64decode('{encoded}'))")


def wait_until(what: Callable[[], bool], seconds: float, text: str) -> float:
    """Wait until something holds and return how long it took; fail the test when it does not in time."""
    begin = time.monotonic()
    while not what():
        assert time.monotonic() - begin < seconds, f"not within {seconds} s: {text}"
        time.sleep(0.3)
    return time.monotonic() - begin


def names(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the distinct task names of results, in their order."""
    return list(dict.fromkeys(row["task"] for row in results))


class Labs:
    """Keeps one lab up at a time."""

    def __init__(self, scratch: pytest.TempPathFactory, keep: bool) -> None:
        self.scratch = scratch
        self.keep = keep
        self.up: Lab | None = None

    def take_down(self) -> None:
        """Remove the lab that is up."""
        if self.up is not None:
            self.up.down()
            self.up = None

    def started(self, lab: Lab) -> None:
        """Start a lab afresh, in the place of the one that is up."""
        self.take_down()
        if not self.keep:
            lab.log.unlink(missing_ok=True)
            lab.down()
        self.up = lab
        lab.up()

    def converged(self, name: str, shape: str) -> Lab:
        """Return a cluster on a fresh lab."""
        lab = Lab(name, shape, self.scratch.mktemp(name))
        self.started(lab)
        run = lab.converge()
        lab.record("first run", round(run.seconds, 1))
        lab.measure_pace()
        return lab
