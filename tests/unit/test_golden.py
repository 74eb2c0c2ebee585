# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of the lab's shape, rendered by Ansible from the roles' own templates, against the files in tests/unit/golden.

After an intended change of a template or of the plan:

    RAILYARD_GOLDEN=write tools/unit.sh -n 0 tests/unit/test_golden.py

writes them anew; git diff shows what changed for every rank.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.support import systemd
from ansible_collections.railyard.sglang.tests.unit.support.playbooks import ROOT, Rendered

GOLDEN = ROOT / "tests/unit/golden"
INSTANCE = {"p0": "prefill-0", "p1": "prefill-0", "d0": "decode-0", "d1": "decode-0"}
PATHS = {
    host: [f"/etc/systemd/system/sglang-{name}.service", f"/etc/sglang/{name}/environment", f"/etc/sglang/{name}/arguments.yaml"]
    for host, name in INSTANCE.items()
}
# Of the host, not of the rank: the same on every engine host.
COMMON = ["/etc/sysusers.d/railyard-sglang.conf", "/etc/systemd/journald.conf.d/railyard-sglang.conf"]
TOOL = "/usr/local/bin/sglang-env"
ABSENCE, SECONDS, MARKS = "/etc/sglang/prefill-0/absence.py", "/etc/sglang/prefill-0/absence", "/var/lib/sglang/bootstrap-8998"
WATCH = {host: f"/etc/sglang/{name}/peers.py" for host, name in INSTANCE.items()}
PATHS["p0"] += COMMON
PATHS["r0"] = [
    "/etc/systemd/system/sglang-router.service",
    "/etc/sglang/router/environment",
    "/etc/sysusers.d/railyard-sglang-router.conf",
    "/etc/systemd/journald.conf.d/railyard-sglang-router.conf",
]
CASES = [(host, path) for host, paths in PATHS.items() for path in paths]
UNITS = [(host, paths[0]) for host, paths in PATHS.items()]
each_unit = pytest.mark.parametrize(("host", "path"), UNITS, ids=[host for host, _path in UNITS])


def golden(host: str, path: str) -> Path:
    """Return the file of a rendered path. Its suffix keeps linters of units and YAML from taking it for one."""
    return GOLDEN / host / f"{path[1:]}.golden"


@pytest.mark.parametrize(("host", "path"), CASES, ids=[f"{host}{path}" for host, path in CASES])
def test_golden(rendered: Rendered, host: str, path: str) -> None:
    text, file = rendered.files(host)[path], golden(host, path)
    if os.environ.get("RAILYARD_GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    wanted = file.read_text(encoding="utf-8") if file.exists() else ""
    rows = difflib.unified_diff(wanted.splitlines(), text.splitlines(), str(file.relative_to(ROOT)), f"rendered {host}:{path}", lineterm="")
    assert wanted == text, "\n".join([*rows, "", "If this is meant: RAILYARD_GOLDEN=write tools/unit.sh -n 0 tests/unit/test_golden.py"])


def test_nothing_else_is_written() -> None:
    kept = {golden(host, path) for host, path in CASES}
    assert {path for path in GOLDEN.glob("*/**/*") if path.is_file()} == kept


def test_every_host_writes_what_is_golden_and_no_more(rendered: Rendered) -> None:
    for host, name in INSTANCE.items():
        files = rendered.files(host)
        own = {ABSENCE, SECONDS} if host == "p0" else set()
        assert set(files) == {*PATHS[host], *COMMON, TOOL, WATCH[host], *own}, name
        assert files[WATCH[host]] == (ROOT / "roles/engine/files/peers.py").read_text(encoding="utf-8")
        assert [files[path] for path in [*COMMON, TOOL]] == [rendered.files("p0")[path] for path in [*COMMON, TOOL]]
    assert rendered.files("p0")[SECONDS].splitlines()[1:] == ["12"]
    assert rendered.files("p0")[ABSENCE] == (ROOT / "roles/engine/files/absence.py").read_text(encoding="utf-8")
    assert set(rendered.files("r0")) == set(PATHS["r0"])
    assert set(rendered.calls) == {
        *(("role", host, f"sglang-{name}.service") for host, name in INSTANCE.items()),
        ("role", "r0", "sglang-router.service"),
        ("own", "p0", "sglang-prefill-0.service"),
        ("alone", "p0", "sglang-prefill-0.service"),
    }


def test_each_template_is_replaceable_by_a_variable(rendered: Rendered) -> None:
    files = rendered.files("p0", "own")
    assert {files[path] for path in PATHS["p0"][:3]} == {"# own template of sglang-prefill-0.service\n"}
    assert files[COMMON[0]] == rendered.files("p0")[COMMON[0]]


def test_nothing_runs_beside_an_engine_that_shall_be_alone(rendered: Rendered) -> None:
    usual, alone = rendered.files("p0"), rendered.files("p0", "alone")
    assert set(usual) - set(alone) == {WATCH["p0"], ABSENCE, SECONDS}
    unit = PATHS["p0"][0]
    lost = [line.partition("=")[0] for line in usual[unit].splitlines() if line not in alone[unit].splitlines() and line[0].isupper()]
    assert lost == ["ExecStartPre", "ExecStartPost", "ExecStartPost", "ExecStopPost", "TimeoutStartSec"]
    assert not set(alone[unit].splitlines()) - set(usual[unit].splitlines())


def process(rendered: Rendered, host: str) -> dict[str, object]:
    """Return the planned process of a host."""
    slice_ = rendered.plan["hosts"][host]
    found: dict[str, object] = slice_["router"] or slice_["ranks"][0]
    return found


@systemd.needs_manager
def test_systemd_starts_the_planned_command(rendered: Rendered) -> None:
    for host, path in UNITS:
        planned = process(rendered, host)
        name = Path(path).name
        assert systemd.commands({name: rendered.files(host)[path]})[name] == [[planned["python"], *planned["argv"]]]


SERVE = [WATCH["p0"], "serve", "5000", "203.0.113.11=rank 1 on p1", "198.51.100.11=rank 1 on p1"]
JOIN = [WATCH["p1"], "join", "5000", "203.0.113.10=rank 0 on p0", "198.51.100.10=rank 0 on p0"]


@systemd.needs_manager
@pytest.mark.parametrize(
    ("host", "setting", "programs"),
    [
        ("p0", "ExecStartPost", [SERVE, [ABSENCE, "watch", MARKS, "30000"]]),
        ("p0", "ExecStartPre", [[ABSENCE, "wait", MARKS, SECONDS]]),
        ("p0", "ExecStopPost", [[ABSENCE, "stopped", MARKS]]),
        ("p1", "ExecStartPost", [JOIN]),
        ("p1", "ExecStartPre", []),
        ("d0", "ExecStopPost", []),
    ],
)
def test_systemd_starts_what_watches_beside_it(rendered: Rendered, host: str, setting: str, programs: list[list[str]]) -> None:
    planned, path = process(rendered, host), PATHS[host][0]
    found = systemd.commands({Path(path).name: rendered.files(host)[path]}, setting)[Path(path).name]
    assert found == [[planned["python"], "-I", "-S", *words] for words in programs]


@systemd.needs_generator
@each_unit
def test_systemd_reads_the_planned_environment(rendered: Rendered, host: str, path: str) -> None:
    planned = process(rendered, host)
    wanted = dict(planned["environment"])
    if "instance" in planned:
        wanted |= {"RAILYARD_INSTANCE": planned["instance"], "RAILYARD_INSTANCE_DIGEST": planned["instance_digest"]}
    found = systemd.environment(rendered.files(host)[planned["environment_file"]])
    assert wanted.items() <= found.items()


@pytest.mark.parametrize("host", list(INSTANCE))
def test_the_argument_file_holds_the_planned_values(rendered: Rendered, host: str) -> None:
    planned = process(rendered, host)
    assert yaml.safe_load(rendered.files(host)[planned["argument_file"]]) == planned["arguments"]


@each_unit
def test_the_service_runs_as_a_user_of_its_own(rendered: Rendered, host: str, path: str) -> None:
    files = rendered.files(host)
    (user,) = re.findall(r"^User=(.*)$", files[path], re.MULTILINE)
    assert user not in ("", "root", "0", "nobody")
    users = re.findall(r"^u (\S+) ", "".join(text for name, text in files.items() if "/sysusers.d/" in name), re.MULTILINE)
    assert users == [user]


@pytest.mark.parametrize("host", list(INSTANCE))
def test_engine_units_stop_in_time_log_everything_and_leave_devices_usable(rendered: Rendered, host: str) -> None:
    lines = rendered.files(host)[PATHS[host][0]].splitlines()
    wanted = {
        "Type=exec", "Restart=always", "StartLimitIntervalSec=0", "KillMode=mixed", "TimeoutStopSec=600",
        "LogRateLimitIntervalSec=1s", "LogRateLimitBurst=10000000",
        "LimitMEMLOCK=infinity", "LimitNOFILE=1048576", "DevicePolicy=closed", "DeviceAllow=char-nvidia rw",
        "DeviceAllow=char-infiniband_verbs rw", "DeviceAllow=char-gdrdrv rw", "NoNewPrivileges=yes", "ProtectSystem=strict",
    }  # fmt: skip
    assert wanted <= set(lines)
    keys = {line.split("=")[0] for line in lines}
    assert not keys & {"PrivateDevices", "PrivateNetwork", "PrivateIPC", "MemoryDenyWriteExecute", "InaccessiblePaths"}


@systemd.needs_analyze
@each_unit
def test_systemd_accepts_the_unit(rendered: Rendered, tmp_path: Path, host: str, path: str) -> None:
    unit = tmp_path / Path(path).name
    # The stack is not on this machine.
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", rendered.files(host)[path], flags=re.MULTILINE), encoding="utf-8")
    done = subprocess.run([systemd.ANALYZE, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, []), done.stderr


@pytest.mark.skipif(systemd.version() < 250, reason="systemd-analyze security reads files from systemd 250 on")
@each_unit
def test_the_exposure_is_at_most_4(rendered: Rendered, tmp_path: Path, host: str, path: str) -> None:
    unit = tmp_path / Path(path).name
    unit.write_text(rendered.files(host)[path], encoding="utf-8")
    command = [systemd.ANALYZE, "security", "--offline=yes", "--threshold=40", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    assert float(exposure) <= 4.0


def test_the_tool_is_a_shell_script(rendered: Rendered, tmp_path: Path) -> None:
    script = tmp_path / "sglang-env"
    script.write_text(rendered.files("p0")[TOOL], encoding="utf-8")
    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: sglang-env INSTANCE [-- COMMAND [ARGUMENT ...]]")
    done = subprocess.run(["sh", str(script), "no-such-instance", "--", "true"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no instance no-such-instance on this host" in done.stderr
