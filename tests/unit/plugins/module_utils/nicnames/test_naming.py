# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renames on this machine's kernel, in a network namespace of their own. NetworkManager does not run there: that is the labs' part."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support.programs import environment

PACKAGE = "ansible_collections.railyard.sglang.plugins.module_utils.nicnames"
SPACE = ["unshare", "--user", "--map-root-user", "--net"]
PROGRAM = f"""
import json, subprocess, sys
from {PACKAGE} import naming, rtnl, undo
from {PACKAGE}.manager import Manager
job = json.loads(sys.argv[1])
subprocess.run(job["setup"], shell=True, check=True)
index = {{link.name: link.index for link in rtnl.links()}}
log, fault = [], ""
namer = naming.Namer(Manager(lambda words: (127, "", "")), log.append)
try:
    namer.carry({{index[name]: wanted for name, wanted in job["wanted"].items()}}, {{}})
except naming.NamingError as error:
    fault = str(error)
names = {{link.index: link for link in rtnl.links()}}
print(json.dumps({{
    "names": {{name: names[number].name for name, number in index.items()}},
    "up": [link.name for link in names.values() if link.up],
    "altnames": {{link.name: link.altnames for link in names.values() if link.altnames}},
    "dropped": namer.dropped, "log": log, "fault": fault,
}}))
"""
PAIRS = "ip link add v0 type veth peer name v1; ip link add v2 type veth peer name v3; ip link set v0 up; ip link set v2 up"


@pytest.fixture(scope="module", autouse=True)
def _able() -> None:
    if shutil.which("ip") is None or subprocess.run([*SPACE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no ip, or no network namespaces for this user")


def carried(setup: str, wanted: dict[str, str]) -> dict[str, Any]:
    """Make devices, give them names, and return what became of them."""
    done = subprocess.run(
        [*SPACE, sys.executable, "-c", PROGRAM, json.dumps({"setup": setup, "wanted": wanted})],
        capture_output=True, text=True, check=False, env=environment(),
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


CASES = [
    pytest.param(PAIRS, {"v0": "roce0", "v2": "roce1"}, id="new names"),
    pytest.param(PAIRS, {"v0": "v2", "v2": "v0"}, id="swap"),
    pytest.param(PAIRS, {"v0": "v1", "v1": "v2", "v2": "v3", "v3": "v0"}, id="all four in a circle"),
    pytest.param(PAIRS, {"v0": "v2", "v2": "x"}, id="chain"),
    pytest.param(PAIRS + "; ip link property add dev v3 altname roce0", {"v0": "roce0"}, id="the name is an altname of another"),
    pytest.param(PAIRS + "; ip link property add dev v0 altname roce0", {"v0": "roce0"}, id="the name is an altname of its own"),
    pytest.param(PAIRS, {"v0": "v0", "v2": "v2"}, id="as they are"),
]


@pytest.mark.parametrize(("setup", "wanted"), CASES)
def test_names_are_given_and_what_was_up_is_up(setup: str, wanted: dict[str, str]) -> None:
    found = carried(setup, wanted)
    assert found["fault"] == ""
    assert {name: found["names"][name] for name in wanted} == wanted
    assert set(found["up"]) == {wanted.get("v0", "v0"), wanted.get("v2", "v2")}
    assert "roce0" not in [name for names in found["altnames"].values() for name in names]


def test_a_name_that_somebody_else_has_is_refused() -> None:
    found = carried(PAIRS, {"v0": "v1"})
    assert found["fault"] == "v0 cannot become v1: File exists"
    assert found["names"]["v0"] == "v0"


def test_nothing_is_done_for_names_that_are_right() -> None:
    assert carried(PAIRS, {"v0": "v0"})["log"] == []
