# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the driver: what others set, what ours says, what a loaded driver lacks."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import driver
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree

OPTIONS = {
    "": [],
    "# options nvidia a=1\n": [],
    "options nvidia-drm modeset=1\n": [],
    "options nvidia NVreg_A=1 NVreg_B=2\n": [("NVreg_A", "1"), ("NVreg_B", "2")],
    'options nvidia NVreg_RegistryDwords="RMA=0x1;B=2;"\n': [("NVreg_RegistryDwords", "RMA=0x1;B=2;")],
    "options nvidia \\\n NVreg_A=1\n": [("NVreg_A", "1")],
    "options   nvidia\tNVreg_A=1 # for b\nalias x y\n": [("NVreg_A", "1")],
    'options nvidia NVreg_A="1\n': [("NVreg_A", '"1')],
}
MERGED = [
    ([], "PeerMappingOverride=1;"),
    (["RMA=0x1"], "RMA=0x1;PeerMappingOverride=1;"),
    (["PeerMappingOverride=0;RMA=0x1;"], "RMA=0x1;PeerMappingOverride=1;"),
    (["A=1;", "B=2;"], "B=2;PeerMappingOverride=1;"),
    ([" A = 1 ; "], "A=1;PeerMappingOverride=1;"),
]
GOOD = 'EnableStreamMemOPs: 1\nRegistryDwords: "PeerMappingOverride=1;"\n'
OURS = driver.wanted_text(driver.Host())


@pytest.mark.parametrize("text", OPTIONS)
def test_options_of_a_file(text: str) -> None:
    assert driver.options(text) == OPTIONS[text]


@pytest.mark.parametrize(("values", "found"), MERGED)
def test_registry_words_of_others_are_kept(values: list[str], found: str) -> None:
    assert driver.merged(values) == found


PLANS = {
    "a bare host": (driver.Host(), True, driver.Plan(OURS, True)),
    "no driver is loaded": (driver.Host(own=OURS), True, driver.Plan(OURS, False)),
    "in effect": (driver.Host(own=OURS, params=GOOD), True, driver.Plan(OURS, False)),
    "before the reboot": (
        driver.Host(own=OURS, params="EnableStreamMemOPs: 0\n"), True,
        driver.Plan(OURS, False, ("EnableStreamMemOPs", "PeerMappingOverride")),
    ),
    "one is missing": (
        driver.Host(params="EnableStreamMemOPs: 1\nRegistryDwords: \"\"\n"), True, driver.Plan(OURS, True, ("PeerMappingOverride",)),
    ),
    "taken away": (driver.Host(own=OURS), False, driver.Plan(None, True)),
    "never there": (driver.Host(params=GOOD), False, driver.Plan(None, False)),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_is_to_be_done(name: str) -> None:
    host, present, wanted = PLANS[name]
    assert driver.plan(host, present) == wanted


def test_what_others_say_is_told_or_refused() -> None:
    other = ('/etc/modprobe.d/nvidia.conf', 'options nvidia NVreg_RegistryDwords="RMA=1;"\n')
    made = driver.plan(driver.Host(files=(other,)), present=True)
    assert made.text is not None
    assert 'NVreg_RegistryDwords="RMA=1;PeerMappingOverride=1;"' in made.text
    assert made.notes[0].startswith("/etc/modprobe.d/nvidia.conf sets NVreg_RegistryDwords, too")
    late = driver.plan(driver.Host(files=(("/etc/modprobe.d/zzz.conf", other[1]),)), present=True)
    fix = "Fix: give it a name that comes before, or remove it"
    assert late.faults == (f"/etc/modprobe.d/zzz.conf sets NVreg_RegistryDwords after {driver.FILE}. {fix}",)
    good = "ro nvidia.NVreg_EnableStreamMemOPs=1 nvidia.NVreg_RegistryDwords=RMA=1;PeerMappingOverride=0x1;"
    told = driver.plan(driver.Host(command_line=good), present=True)
    assert (len(told.notes), told.faults) == (2, ())
    assert "the kernel command line sets nvidia.NVreg_EnableStreamMemOPs, too" in told.notes[0]
    assert "keeps its parameters" in driver.plan(driver.Host(own=OURS, params=GOOD), present=False).notes[0]
    assert driver.plan(driver.Host(alien=True), present=False).faults[0].startswith(f"{driver.FILE} is there and is not this role's")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("ro nvidia.NVreg_EnableStreamMemOPs=0", "nvidia.NVreg_EnableStreamMemOPs=0"),
        ('nvidia.NVreg_RegistryDwords="RMA=1;" quiet', "nvidia.NVreg_RegistryDwords=RMA=1;"),
        ("nvidia.NVreg_EnableStreamMemOPs=1 nvidia.NVreg_EnableStreamMemOPs=0", "nvidia.NVreg_EnableStreamMemOPs=0"),
    ],
)
def test_a_command_line_that_wins_is_refused_and_not_rebooted_for_again_and_again(line: str, named: str) -> None:
    host = driver.Host(own=OURS, params="EnableStreamMemOPs: 0\n", command_line=line)
    (fault,) = driver.plan(host, present=True).faults
    assert fault.startswith(f"the kernel command line sets {named}, which wins over {driver.FILE}. Fix: take nvidia.NVreg_")
    assert driver.plan(host, present=False).faults == ()


def put(root: Path, path: str, text: str) -> Path:
    full = root / path.lstrip("/")
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_text(text, encoding="utf-8")
    return full


def test_a_host_is_looked_at(tmp_path: Path) -> None:
    put(tmp_path, "/usr/lib/modprobe.d/nvidia.conf", "options nvidia A=1\n")
    put(tmp_path, "/etc/modprobe.d/nvidia.conf", "options nvidia A=2\n")
    put(tmp_path, "/etc/modprobe.d/a.conf", "# nothing\n")
    put(tmp_path, driver.PARAMS, GOOD)
    put(tmp_path, "/proc/cmdline", "ro quiet\n")
    image = put(tmp_path, "/boot/initrd.img-6.1.0", "x")
    host = driver.look(Tree(str(tmp_path)), "6.1.0")
    assert [path for path, _text in host.files] == ["/etc/modprobe.d/a.conf", "/etc/modprobe.d/nvidia.conf"]
    assert (host.own, host.alien, host.image, host.stale) == (None, False, "/boot/initrd.img-6.1.0", False)
    own = put(tmp_path, driver.FILE, OURS)
    os.utime(image, (1, 1))
    host = driver.look(Tree(str(tmp_path)), "6.1.0")
    assert (host.own, host.alien, host.stale) == (OURS, False, True)
    assert driver.plan(host, present=True) == driver.Plan(OURS, False)
    own.write_text("options nvidia A=1\n", encoding="utf-8")
    assert driver.look(Tree(str(tmp_path)), "6.1.0").alien


def test_the_image_is_made_by_the_tool_of_its_system() -> None:
    assert driver.image_command("", "6.1.0") == []
    assert driver.image_command("/boot/initrd.img-6.1.0", "6.1.0") == ["update-initramfs", "-u", "-k", "6.1.0"]
    assert driver.image_command("/boot/initramfs-5.14.img", "5.14") == ["dracut", "--force", "/boot/initramfs-5.14.img", "5.14"]


def test_the_file_itself_is_read_as_it_is_meant() -> None:
    assert driver.options(OURS) == [("NVreg_EnableStreamMemOPs", "1"), ("NVreg_RegistryDwords", "PeerMappingOverride=1;")]
    assert driver.lacking(GOOD) == ()
    assert driver.lacking(GOOD.replace("Override=1", "Override=0x1")) == ()
    assert driver.lacking(GOOD.replace("Override=1", "Override=0x10")) == ("PeerMappingOverride",)
    assert driver.shown(replace(driver.Host(), own="x"), driver.Plan(None, True))["after"] == ""
