# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of playbooks/doctor.yml on logs alone: without an inventory, without any host."""

from __future__ import annotations

import json
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs, playbooks


def test_an_archive_of_a_failure(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "logs.tar.xz", "w:xz") as archive:
        for path in doctorlogs.logs(doctorlogs.CORPUS / "two-networks"):
            archive.add(path, f"cluster/{path.name}")
    done = playbooks.playbook(
        tmp_path, "railyard.sglang.doctor", "-e", f"doctor_path={tmp_path / 'logs.tar.xz'}", "-e", f"doctor_directory={tmp_path / 'doctor'}"
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert "L01 blocks" in done.stdout
    document = json.loads((tmp_path / "doctor/doctor.json").read_text(encoding="utf-8"))
    assert (document["verdict"], document["first"], document["findings"][0]["host"]) == ("blocks", "L01", "p0")
    assert (tmp_path / "doctor/doctor.txt").read_text(encoding="utf-8").startswith("Something keeps the cluster from serving.")
    assert json.dumps(document["findings"][0]["places"]) not in done.stdout


def test_logs_of_a_healthy_cluster_pass_and_check_mode_writes_nothing(tmp_path: Path) -> None:
    logs = doctorlogs.write(tmp_path / "logs", prefill=[doctorlogs.stamped(0, doctorlogs.arguments(), "p0")])
    done = playbooks.playbook(
        tmp_path, "railyard.sglang.doctor", "-e", f"doctor_path={logs}", "-e", f"doctor_directory={tmp_path / 'doctor'}", "--check"
    )
    assert done.returncode == 0, done.stdout
    assert "Nothing known was found" in done.stdout
    assert not (tmp_path / "doctor").exists()


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    done = playbooks.playbook(tmp_path, "railyard.sglang.doctor", "-e", f"doctor_path={tmp_path}/nothing")
    assert done.returncode != 0
    assert "No such file or directory. Fix: doctor_path" in done.stdout + done.stderr


JOURNALCTL = r"""#!/bin/sh
# Of the units what was said of late; of one start all that was said since; of the kernel nothing.
entry() {
  printf '__CURSOR=%s\n__REALTIME_TIMESTAMP=%s000000\n_HOSTNAME=another-name\n_SYSTEMD_UNIT=sglang-prefill-0.service\n' "$1" "$2"
  printf 'MESSAGE=%s\n\n' "$3"
}
case "$*" in
  *_SYSTEMD_INVOCATION_ID=0a1b) entry 1 1800000000 "ARGUMENTS"; entry 2 1800000100 "OSError: [Errno 28] No space left on device" ;;
  *--unit=*) entry 2 1800000100 "OSError: [Errno 28] No space left on device" ;;
esac
"""
SYSTEMCTL = r"""#!/bin/sh
printf 'Id=sglang-prefill-0.service\nLoadState=loaded\nActiveState=failed\nSubState=failed\n'
printf 'Result=exit-code\nNRestarts=5\nInvocationID=0a1b\n'
"""
REACHED, AWAY = ("decode-0", "prefill-0", "prefill-1", "router-0"), "decode-1"


def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make programs that speak of a cluster, and an inventory of it: one host does not answer. Return arguments of ansible-playbook."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("journalctl", JOURNALCTL.replace("ARGUMENTS", doctorlogs.arguments())), ("systemctl", SYSTEMCTL)):
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    source = playbooks.ROOT / "inventory/deepseek-2p2d-mooncake"
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    away = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_ssh_common_args": "-o ControlMaster=no"}
    hosts = {name: away if name == AWAY else here for name in (*REACHED, AWAY)}
    (tmp_path / "local.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    options = {"sglang_become": False, "doctor_checks": False, "doctor_directory": str(tmp_path / "doctor")}
    return ["-i", str(source), "-i", str(tmp_path / "local.yml"), "railyard.sglang.doctor", "-e", json.dumps(options)]


def test_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = cluster(tmp_path, monkeypatch)
    stale = tmp_path / "doctor/logs"
    stale.mkdir(parents=True)
    (stale / "another-cluster.log").write_text("Scheduler hit an exception: Traceback (most recent call last):\n", encoding="utf-8")
    done = playbooks.playbook(tmp_path, *words, seconds=400)
    assert "Traceback" not in done.stdout + done.stderr
    document = json.loads((tmp_path / "doctor/doctor.json").read_text(encoding="utf-8"))
    found = {row["id"]: row for row in document["findings"]}
    assert document["first"] == "L29", done.stdout
    assert found["L55"]["host"] == AWAY
    assert {place["host"] for place in found["L54"]["places"]} == set(REACHED)
    # What the engine was started with is there, and nothing is there twice.
    assert {place["count"] for place in found["L29"]["places"]} == {1}
    assert not any("ServerArgs" in line for line in document["collect_next"])
    assert not (stale / "another-cluster.log").exists()
    assert "another-cluster" not in json.dumps(document)
    assert stat.S_IMODE(stale.stat().st_mode) == 0o700


def test_a_trial_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = playbooks.playbook(tmp_path, *cluster(tmp_path, monkeypatch), "--check", seconds=400)
    assert "L29 blocks" in done.stdout
    assert "undefined" not in done.stdout + done.stderr
    assert not (tmp_path / "doctor").exists()
