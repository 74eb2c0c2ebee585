# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module driver_parameters in this process, on a directory that stands for a host's root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import driver
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree
from ansible_collections.railyard.sglang.plugins.modules import driver_parameters
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

GOOD = 'EnableStreamMemOPs: 1\nRegistryDwords: "PeerMappingOverride=0x1;"\n'
BAD = 'EnableStreamMemOPs: 0\nRegistryDwords: ""\n'
Command = list[Any]


@pytest.fixture(name="host")
def make_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a host with a driver that lacks the parameters, and an initial RAM disk."""
    monkeypatch.setattr(driver_parameters, "Tree", lambda _root, _label: Tree(str(tmp_path)))
    put(tmp_path, driver.PARAMS, BAD)
    put(tmp_path, driver.IMAGES[1].format(kernel=os.uname().release), "image")
    (tmp_path / "etc/modprobe.d").mkdir(parents=True)
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    full = root / path.lstrip("/")
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_text(text, encoding="utf-8")


@pytest.fixture(name="commands")
def make_commands(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], float]]:
    """Return what was run, each with the seconds that it may take."""
    found: list[tuple[list[str], float]] = []

    def bounded(argv: list[str], seconds: float, _locale: str) -> tuple[int, str, str]:
        found.append((argv[1:], seconds))
        return 0, "", ""

    monkeypatch.setattr("ansible_collections.railyard.sglang.plugins.module_utils.onhost.commands.bounded.run", bounded)
    found_by = "ansible.module_utils.basic.AnsibleModule.get_bin_path"
    monkeypatch.setattr(found_by, lambda _module, name, **_options: f"/sbin/{name}")
    return found


def test_predicted_set_and_set_already(host: Path, commands: Command) -> None:
    predicted = run(driver_parameters.main, {}, check=True)
    assert (predicted["changed"], predicted["reboot"], predicted["loaded"]) == (True, True, True)
    assert not (host / driver.FILE.lstrip("/")).exists()
    done = run(driver_parameters.main, {})
    assert done["diff"] == predicted["diff"]
    assert (done["changed"], done["missing"]) == (True, ["EnableStreamMemOPs", "PeerMappingOverride"])
    assert "NVreg_EnableStreamMemOPs=1" in (host / driver.FILE.lstrip("/")).read_text(encoding="utf-8")
    assert not run(driver_parameters.main, {})["changed"]
    put(host, driver.PARAMS, GOOD)
    again = run(driver_parameters.main, {})
    assert (again["changed"], again["reboot"], again["missing"]) == (False, False, [])
    assert commands == []
    gone = run(driver_parameters.main, {"state": "absent"})
    assert gone["changed"]
    assert not (host / driver.FILE.lstrip("/")).exists()


def test_an_image_gets_the_time_that_it_takes(host: Path, commands: Command) -> None:
    done = run(driver_parameters.main, {"initial_ramdisk": True})
    assert done["changed"]
    ((argv, seconds),) = commands
    assert argv[0] == "--force"
    assert seconds == 900
    assert (host / driver.FILE.lstrip("/")).exists()


def test_a_driver_that_is_not_loaded_is_waited_for_and_told(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = host / driver.PARAMS.lstrip("/")
    params.unlink()
    looked = run(driver_parameters.main, {})
    assert (looked["loaded"], looked["missing"], looked["reboot"]) == (False, [], False)
    assert not run(driver_parameters.main, {"wait": 1})["loaded"]
    monkeypatch.setattr(driver_parameters.time, "sleep", lambda _seconds: put(host, driver.PARAMS, GOOD))
    assert run(driver_parameters.main, {"wait": 60})["loaded"]


def test_a_kernel_command_line_that_wins_is_refused(host: Path) -> None:
    put(host, "/proc/cmdline", "ro nvidia.NVreg_EnableStreamMemOPs=0\n")
    refused = run(driver_parameters.main, {})
    assert "the kernel command line sets nvidia.NVreg_EnableStreamMemOPs=0, which wins over" in refused["msg"]
    assert not (host / driver.FILE.lstrip("/")).exists()
    assert "changed" in run(driver_parameters.main, {"state": "absent"})
