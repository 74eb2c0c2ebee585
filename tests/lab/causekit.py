# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What breaks a running cluster on purpose and mends it afterwards, and what proof and doctor say of it."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit import Lab, Run, wait_until

#: Seconds within which the proof says that something planned is not so, on a machine of pace 1.
PROOF_SECONDS = 60
#: Seconds within which a mended lab serves again: both engines are started anew on two cores.
MENDED_SECONDS = 120


def now() -> str:
    """Return the next second as journalctl takes it, once it has begun; lab hosts share this machine's clock."""
    second = int(time.time()) + 1
    time.sleep(second - time.time())
    return f"@{second}"


def as_it_is(line: str) -> str:
    """Leave a command line as it is planned."""
    return line


def added(*words: str) -> Callable[[str], str]:
    """Return a change that adds words to a command line: of an option that is there twice SGLang takes the last."""
    return lambda line: f"{line} {' '.join(words)}"


def address(lab: Lab, host: str, network: str) -> str:
    """Return an address of a host: on interface fab0 or mgmt0."""
    row = json.loads(lab.ssh(host, f"ip -json -4 address show dev {network}"))[0]
    return str(row["addr_info"][0]["local"])


@contextmanager
def started_as(
    lab: Lab,
    unit: Mapping[str, Any],
    change: Callable[[str], str] = as_it_is,
    environment: Mapping[str, str] | None = None,
    lines: tuple[str, ...] = (),
) -> Iterator[None]:
    """Let a unit run otherwise than planned; afterwards as planned again.

    :param unit: a rank or a router of the plan.
    :param change: of its command line.
    :param environment: variables that are set differently.
    :param lines: more lines of C([Service]).
    """
    host, name = unit["host"], unit["unit"]
    whole = re.search(r"^ExecStart=(?:.*\\\n)*.*$", lab.ssh(host, f"cat /etc/systemd/system/{name}"), re.MULTILINE)
    assert whole, "the unit has no ExecStart="
    place = f"/run/systemd/system/{name}.d"
    # A file of variables beats Environment=, and the last file the others.
    variables = "".join(f"{key}={value}\n" for key, value in (environment or {}).items())
    drop_in = "\n".join(["[Service]", "ExecStart=", change(whole[0]), f"EnvironmentFile={place}/cause.env", *lines, ""])
    writing = (
        f"mkdir -p {place}",
        f"printf %s {shlex.quote(variables)} > {place}/cause.env",
        f"printf %s {shlex.quote(drop_in)} > {place}/99-cause.conf",
    )
    lab.ssh(host, " && ".join([*writing, "systemctl daemon-reload", f"systemctl restart {name}"]), seconds=90)
    try:
        yield
    finally:
        lab.ssh(host, f"rm -r {place} && systemctl daemon-reload && systemctl restart {name}", seconds=90)


@contextmanager
def filtered(lab: Lab, host: str, *rules: str) -> Iterator[None]:
    """Let a host drop what these rules of nftables name, as a firewall does that nobody thought of."""
    table = "\n".join(
        [
            "table inet cause {",
            "  chain in { type filter hook input priority 0; policy accept;",
            *(f"    {rule} drop" for rule in rules),
            "  }",
            "}",
        ]
    )
    lab.ssh(host, "nft -f -", stdin=table + "\n")
    try:
        yield
    finally:
        lab.ssh(host, "nft delete table inet cause")


def healthy(lab: Lab, unit: Mapping[str, Any], seconds: float = 90) -> None:
    """Wait until an engine says of itself that it is well, by the pace of this machine."""
    url = unit["health_url"].removesuffix("/health")
    wait_until(lambda: lab.request("/health", timeout=5, url=url)["status"] == 200, seconds * lab.pace, f"{unit['unit']} is healthy")


def refusal(lab: Lab, host: str, variables: dict[str, Any] | None = None) -> str:
    """Prove, which must fail in time and on this host alone, and return what it says."""
    run = lab.play("--tags", "verify", variables=variables, seconds=240)
    run.refused()
    print(f"proof: {run.seconds:.1f} s: {run.failures}")
    lab.record("proof of a fault", {"seconds": round(run.seconds, 1), "pace": round(lab.pace, 2), "failures": run.failures})
    assert run.seconds <= PROOF_SECONDS * lab.pace
    assert run.changed == {}
    assert set(run.failures) == {host}
    return run.failures[host]


def diagnosis(lab: Lab, since: str, directory: Path) -> dict[str, Any]:
    """Ask the doctor about the cluster and return what it has written."""
    variables = {**lab.variables, "doctor_since": since, "doctor_directory": str(directory)}
    run = lab.play(playbook="playbooks/doctor.yml", variables=variables, seconds=240)
    return told(run, directory)


def told(run: Run, directory: Path) -> dict[str, Any]:
    """Return what the doctor has written; it fails exactly where something blocks."""
    found: dict[str, Any] = json.loads((directory / "doctor.json").read_text(encoding="utf-8"))
    print((directory / "doctor.txt").read_text(encoding="utf-8"))
    assert (run.rc != 0) == (found["verdict"] == "blocks"), run.output[-4000:]
    # Written are the diagnosis and, beside it, the logs.
    assert {task for tasks in run.changed.values() for task in tasks} <= {"Fetch it", "Read the logs and say what went wrong"}
    return found
