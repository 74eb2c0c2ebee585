# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of playbooks/collect.yml against this machine under several names, with stand-ins for systemd's programs, and the action's parts."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import platform
import re
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import bundle
from ansible_collections.railyard.sglang.plugins.module_utils.bundle import reading
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.secrets import MARK
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue
from ansible_collections.railyard.sglang.plugins.modules import bundle as module
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs, playbooks
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster

ROOT = Path(__file__).resolve().parents[4]
KNOWN = ("type", "elements", "default", "choices", "required")
TOKEN = "hub-token-4711-aber"
HOSTS = ("kea-p0", "kea-d0", "kea-r0")
# One process per host: the engine's arguments, on two networks, and a secret in three spellings.
JOURNALCTL = """#!/bin/sh
case "$*" in *_TRANSPORT=kernel*) exit 0;; esac
entry() {{
  printf '__CURSOR=s=0123456789abcdef0123456789abcdef;i=%s;b=fedcba9876543210fedcba9876543210;m=1;t=2;x=3\\n' "$1"
  printf '__REALTIME_TIMESTAMP=177243840%s000000\\n_HOSTNAME=kea-p0\\n_SYSTEMD_UNIT=sglang-prefill-0.service\\nMESSAGE=%s\\n\\n' "$1" "$2"
}}
entry 1 "{arguments}"
entry 2 "GET https://hub.acme.io/m?X-Amz-Signature=0a1b2c with token {token} from 192.0.2.10"
"""
SYSTEMCTL = """#!/bin/sh
printf 'Id=x\\nLoadState=loaded\\nActiveState=failed\\nEnvironment=HF_TOKEN=abcdefgh1 A=1\\n'
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("programs")
    told = doctorlogs.arguments(host="192.0.2.10", dist_init_addr="198.51.100.77:5000")
    for name, text in (("journalctl", JOURNALCTL.format(arguments=told, token=TOKEN)), ("systemctl", SYSTEMCTL)):
        (place / name).write_text(text, encoding="utf-8")
        (place / name).chmod(0o755)
    return place


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two engines and a router on this machine, and an engine that nobody answers for."""
    place = tmp_path_factory.mktemp("inventory")
    made = cluster(1, 1, 1, 1)
    own = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "sglang_become": False}
    names = {host: f"kea-{host}" for host in made.hostvars}
    groups = {
        group: {"hosts": {names[host]: {**made.hostvars[host], **own, "model_token": TOKEN} for host in hosts}}
        for group, hosts in made.groups.items()
        if group != "all"
    }
    gone = groups["decode"]["hosts"]["kea-d0"]
    gone |= {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0}
    (place / "hosts.yml").write_text(json.dumps({"all": {"children": groups}}), encoding="utf-8")
    return place / "hosts.yml"


def run(inventory: Path, programs: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
        extra = ("-e", f"collect_directory={place / 'out'}")
        return playbooks.playbook(place, "-i", str(inventory), "railyard.sglang.collect", *extra, *words, seconds=600)


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}


def test_a_cluster_with_a_host_that_is_gone(inventory: Path, programs: Path, tmp_path: Path) -> None:
    (tmp_path / "proof").mkdir()
    (tmp_path / "proof/proof.txt").write_text("kea-p0 at 192.0.2.10 served\n", encoding="utf-8")
    done = run(inventory, programs, tmp_path, "-e", f"collect_proof={tmp_path / 'proof'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bundle-map.json", "bundle.tar.gz"]
    for path in (tmp_path / "out").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = members(tmp_path / "out/bundle.tar.gz")
    assert next(iter(found)) == "manifest.json"
    manifest = json.loads(found["manifest.json"])
    assert manifest["bundle"] == 1
    assert manifest["collection"]["name"] == "railyard.sglang"
    assert manifest["collection"]["version"] == yaml.safe_load((ROOT / "galaxy.yml").read_text("utf-8"))["version"]
    assert {row["name"]: row["sha256"] for row in manifest["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items() if name != "manifest.json"
    }
    replaced = json.loads((tmp_path / "out/bundle-map.json").read_text("utf-8"))["replaced"]
    new = replaced["host names"]
    assert "not reached" in manifest["hosts"][new["kea-d0"]]["missing"]["host"]
    assert manifest["hosts"][new["kea-p0"]]["in_plan"]
    # What the doctor takes from it besides the logs, in the new names.
    said_besides = reading.evidence(str(tmp_path / "out/bundle.tar.gz"))
    assert said_besides.unreachable == [new["kea-d0"]]
    assert {row["ActiveState"] for row in said_besides.journals[new["kea-p0"]]["units"]} == {"failed"}
    own = platform.node()
    assert manifest["hosts"][new["kea-p0"]]["hostname"] == new.get(own.lower(), own)
    assert manifest["hosts"][new["kea-p0"]]["cut"] is False
    names = {"plan/plan.json", "plan/findings.json", "README.txt", "proof/proof.txt", "facts/summary.json", "versions/versions.json"}
    names |= {f"{part}/{new['kea-p0']}.json" for part in ("plan/hosts", "units/hosts", "facts", "checks/hosts", "versions/hosts")}
    assert names <= set(found)
    texts = {name: gzip.decompress(data) if name.endswith(".gz") else data for name, data in found.items()}
    for secret in ("kea-p0", "kea-d0", "192.0.2.10", "acme", TOKEN, "0a1b2c", "abcdefgh1", "fedcba9876543210fedcba9876543210"):
        assert [name for name, data in texts.items() if secret.encode() in data or secret in name] == [], secret
    journal = texts[f"logs/{new['kea-p0']}.export.gz"].decode()
    assert f"_HOSTNAME={new['kea-p0']}\n" in journal
    assert f"with token {MARK} from {replaced['addresses']['192.0.2.10']}\n" in journal
    said = doctorlogs.diagnosed(tmp_path / "out/bundle.tar.gz", catalogue.load())
    assert said.first.id == "L01"
    assert said.first.host == new["kea-p0"]
    assert replaced["addresses"]["192.0.2.10"] == said.first.groups["host"]


def test_as_it_is_without_replacing(inventory: Path, programs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/bundle-map.json").write_text("of an earlier run", encoding="utf-8")
    words = ("-e", '{"collect_replace": false, "collect_checks": false, "collect_versions": false}')
    done = run(inventory, programs, tmp_path, *words, "--limit", "kea-p0,localhost")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bundle.tar.gz"]
    found = members(tmp_path / "out/bundle.tar.gz")
    journal = gzip.decompress(found["logs/kea-p0.export.gz"]).decode()
    assert f"X-Amz-Signature={MARK} with token {MARK} from 192.0.2.10\n" in journal
    manifest = json.loads(found["manifest.json"])
    assert manifest["hosts"]["kea-r0"]["missing"] == {"host": "not looked at in this run"}


def test_a_plan_that_is_refused_is_a_reason_to_collect(inventory: Path, programs: Path, tmp_path: Path) -> None:
    done = run(inventory, programs, tmp_path, "-e", "sglang_transfer_backend=nonsense", "--limit", "kea-p0,localhost")
    assert done.returncode == 0, done.stdout + done.stderr
    found = members(tmp_path / "out/bundle.tar.gz")
    assert "backend.unknown" in {row["rule"] for row in json.loads(found["plan/findings.json"])}
    assert "logs/host1.export.gz" in found
    # Of the plan as far as it goes.
    assert json.loads(found["units/hosts/host1.json"])["sglang-prefill-0.service"]["ActiveState"] == "failed"


def test_check_mode_writes_nothing(inventory: Path, programs: Path, tmp_path: Path) -> None:
    done = run(inventory, programs, tmp_path, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "out").exists()
    assert re.search(r"^localhost .*changed=[12] ", done.stdout, re.MULTILINE)
    assert re.search(r"^kea-p0 .*changed=0 ", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-e", "collect_lines=0"), r"collect_lines 0, collect_max_mib : not a number above 0 \[rule bundle\.limits\]"),
        (("--limit", "kea-p0"), r"--limit leaves out localhost, which plans and packs \[rule\s+bundle\.limit\]"),
    ],
)
def test_what_is_refused(inventory: Path, programs: Path, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    done = run(inventory, programs, tmp_path, *words)
    assert done.returncode != 0
    assert re.search(said, done.stdout + done.stderr), done.stdout
    assert not list(tmp_path.glob("out/*"))


def test_options_are_documented_as_they_are() -> None:
    documented: dict[str, dict[str, Any]] = yaml.safe_load(module.DOCUMENTATION)["options"]
    assert {name: {key: row[key] for key in KNOWN if key in row} for name, row in documented.items()} == bundle.SPEC


def test_documentation_names_every_variable_of_the_playbook() -> None:
    text = (ROOT / "docs/bundle.md").read_text(encoding="utf-8")
    playbook = (ROOT / "playbooks/collect.yml").read_text(encoding="utf-8")
    variables = set(re.findall(r"\b(collect_[a-z_]+) \| default\((?:omit|true|1|lookup)", playbook))
    assert variables >= {"collect_directory", "collect_replace", "collect_since", "collect_proof"}
    assert [name for name in sorted(variables) if f"| `{name}` |" not in text] == []


STATES = {"units": {"a.service": {}}}
READ = {"entries": 3, "cut": False}
LOOKED = {
    "collect_looked": {"ansible_facts": {"rdma": {"ports": []}}},
    "collect_stacks": {"ansible_facts": {"sglang_versions": {"stacks": {}}}},
}


@pytest.mark.parametrize(
    ("row", "ranks", "dry", "wanted"),
    [
        # What a fact cache remembers of another run is not there.
        (
            {"collect_states": STATES, "collect_journal": READ, "ansible_facts": {"rdma": {"a": 1}, "sglang_versions": {"b": 1}}}, False,
            False, {"facts": "the host was not looked at", "versions": "the stacks were not looked at"},
        ),
        # Without a plan: what is known of units comes with their journal.
        ({"collect_states": {"units": {}}, "collect_journal": {**READ, "units": [{"Id": "a.service"}]}, **LOOKED}, False, False, {}),
        (
            {"collect_states": {"units": {}}, "collect_journal": READ, **LOOKED}, False, False,
            {"units": "none is planned, and the host knows of none that is called sglang-*"},
        ),
        ({}, True, False, {"host": "not looked at in this run"}),
        ({"collect_states": {"unreachable": True, "msg": "ssh: no\n route"}}, True, False, {"host": "not reached: ssh: no route"}),
        ({"collect_states": STATES, "collect_journal": READ, **LOOKED}, False, False, {}),
        ({"collect_states": STATES, **LOOKED}, False, True, {}),
        (
            {"collect_states": STATES, "collect_journal": {"msg": "journalctl: not found"}, **LOOKED}, False, False,
            {"journal": "journalctl: not found"},
        ),
        (
            {"collect_states": STATES, "collect_failed": "Make room for the journal: No space left on device", **LOOKED},
            False, False, {"journal": "Make room for the journal: No space left on device"},
        ),
        (
            {"collect_states": {"msg": "down"}, "collect_journal": {"entries": 0, "cut": False}}, True, False,
            {
                "units": "down", "journal": "no message of the planned units since collect_since", "facts": "the host was not looked at",
                "checks": "the host checks did not run", "versions": "the stacks were not looked at",
            },
        ),
        (
            {"collect_states": STATES, "collect_journal": {"entries": 9, "cut": True}, **LOOKED}, False, False,
            {"journal": "the newest messages only: there were more than collect_lines or collect_max_mib, or it took too long"},
        ),
    ],
)  # fmt: skip
def test_what_is_missing(row: dict[str, Any], ranks: bool, dry: bool, wanted: dict[str, str]) -> None:
    assert bundle.missing(row, ranks, dry) == wanted


def test_what_was_not_asked_for_is_not_missing() -> None:
    row = {"collect_states": STATES, "collect_journal": READ, "collect_looked": LOOKED["collect_looked"]}
    assert bundle.missing(row, True, False, ["checks", "versions"]) == {}
    assert set(bundle.missing(row, True, False)) == {"checks", "versions"}


def test_versions_are_no_addresses(tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    document = {"locked": {"a": {"packages": {"curand": "12.3.9.90", "other": "192.0.2.7", "third": "1.2.3"}}}}
    (tmp_path / "versions/versions.json").write_text(json.dumps(document), encoding="utf-8")
    assert bundle.known_versions(str(tmp_path), {"host": "192.0.2.7"}) == ["12.3.9.90"]
    assert bundle.known_versions(str(tmp_path / "none"), {}) == []
