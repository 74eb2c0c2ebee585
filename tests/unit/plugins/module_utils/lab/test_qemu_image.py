# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Sequence

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab import image, initrd, looks, qemu_image
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_image import (
    MachineRecipe,
    build_machine_image,
    make_machine_recipe,
    package_options,
    ram_disk,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed

RECIPE = MachineRecipe("bookworm", "x86_64", ("systemd-sysv", "udev"), "Types: deb\n")
SOURCES = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"


@pytest.mark.parametrize(
    "change",
    [{"suite": "trixie"}, {"packages": ("udev",)}, {"sources": "Types: deb\nURIs: x\n"}, {"look": "rhel_like"}],
)
def test_name_changes_with_each_ingredient(change: dict[str, Any]) -> None:
    assert replace(RECIPE, **change).digest() != RECIPE.digest()


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (qemu_image, "MACHINE_RECIPE", 99),
        (qemu_image, "FILES", {}),
        (qemu_image, "MASKED_UNITS", ()),
        (qemu_image, "DISABLED_UNITS", ()),
        (qemu_image, "KEPT_DRIVERS", ()),
        (qemu_image, "DISK_SIZE_MB", 1),
        (image, "RECIPE", 99),
        (image, "REMOVED", ()),
        (initrd, "INIT", ""),
        (initrd, "DISK_MODULES", ()),
    ],
)
def test_name_changes_with_what_this_collection_does(module: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = RECIPE.digest()
    monkeypatch.setattr(module, name, value)
    assert RECIPE.digest() != before


def test_image_of_machines_is_another_than_that_of_containers() -> None:
    assert image.Recipe(RECIPE.suite, RECIPE.architecture, RECIPE.packages, RECIPE.sources).digest() != RECIPE.digest()


def machine(root: Path) -> Path:
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    (root / "etc/os-release").write_text("VERSION_CODENAME=bookworm\n")
    (root / "etc/apt/sources.list.d/debian.sources").write_text(SOURCES)
    return root


@pytest.mark.parametrize(("look", "there", "absent"), [("debian", "perftest", "dnf"), ("rhel_like", "dnf", "apt")])
def test_recipe_of_this_machine(look: str, there: str, absent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    recipe = make_machine_recipe(["curl"], root=machine(tmp_path), look=look)
    assert {there, "curl", "linux-image-amd64", "busybox-static", *image.PACKAGES} <= set(recipe.packages)
    assert absent not in recipe.packages


def test_other_architecture_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(LabError, match="x86_64 only, and this machine is riscv64: take lab_backend nspawn"):
        make_machine_recipe([], root=machine(tmp_path))


def test_drivers_that_are_kept_are_named_after_those_left_out() -> None:
    options = package_options()
    first = next(n for n, option in enumerate(options) if "path-include" in option)
    assert not [option for option in options[first:] if "path-exclude" in option], "dpkg takes the last that matches"
    assert "--dpkgopt=path-include=/lib/modules/*/kernel/drivers/infiniband/sw/*" in options


def fake_root(root: Path) -> None:
    modules = root / "lib/modules/6.1.0-1-amd64"
    for directory in (modules / "kernel", root / "boot", root / "bin", root / "root", root / "etc/ssh"):
        directory.mkdir(parents=True)
    (root / "bin/busybox").write_bytes(b"busybox")
    (root / "boot/vmlinuz-6.1.0-1-amd64").write_bytes(b"kernel")
    (modules / "kernel/virtio_blk.ko").write_bytes(b"block")
    (modules / "modules.dep").write_text("kernel/virtio_blk.ko:\n")
    for name in ("multi-user.target.wants/firewalld.service", "dbus-org.fedoraproject.FirewallD1.service"):
        path = root / "etc/systemd/system" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to("/lib/systemd/system/firewalld.service")


class Builder:
    """A runner that makes a root instead of running mmdebstrap, and notes what is to be done with it."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.commands: list[list[str]] = []
        self.units: set[str] = set()

    def __call__(self, argv: Sequence[str], stdin: Optional[str]) -> Completed:
        self.commands.append(list(argv))
        if argv[0] == "mmdebstrap":
            fake_root(Path(argv[-2]))
        if argv[0] == "mke2fs":
            self.units = {path.name for path in Path(argv[-2], "etc/systemd/system").rglob("*")}
        return Completed(1 if argv[0] == self.failing else 0, "", "it broke")


def test_image_is_built_once_and_whole(tmp_path: Path) -> None:
    builder = Builder()
    path = build_machine_image(RECIPE, tmp_path, builder)
    assert sorted(each.name for each in path.iterdir()) == ["initrd.img", "root.raw", "vmlinuz"]
    assert (path / "vmlinuz").read_bytes() == b"kernel"
    assert (path / "root.raw").stat().st_size == qemu_image.DISK_SIZE_MB << 20
    assert b"block" in (path / "initrd.img").read_bytes()
    assert [each.name for each in tmp_path.iterdir()] == [RECIPE.digest()]
    assert [command[0] for command in builder.commands] == ["apt-config", "mmdebstrap", "mke2fs", "sync"]
    assert {"railyard-soft-roce.service", "NetworkManager-wait-online.service"} <= builder.units
    assert not [name for name in builder.units if "irewall" in name]
    assert build_machine_image(RECIPE, tmp_path, builder) == path
    assert len(builder.commands) == 4


def test_look_alike_is_labelled_before_its_disk_is_made(tmp_path: Path) -> None:
    builder = Builder()
    build_machine_image(replace(RECIPE, look="rhel_like"), tmp_path, builder)
    assert [command[0] for command in builder.commands] == ["apt-config", "mmdebstrap", "unshare", "mke2fs", "sync"]


@pytest.mark.parametrize("failing", ["mmdebstrap", "mke2fs", "sync"])
def test_failed_build_leaves_nothing_and_tells_why(failing: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="it broke"):
        build_machine_image(RECIPE, tmp_path, Builder(failing))
    assert list(tmp_path.iterdir()) == []


def test_root_without_a_kernel_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="has no kernel modules: the package linux-image-amd64"):
        ram_disk(tmp_path)


def test_looks_have_what_they_need() -> None:
    for name, look in looks.LOOKS.items():
        assert look.labelled == ("setfiles" in initrd.INIT and "selinux" in look.kernel_arguments), name


def test_script_that_makes_devices_is_one_for_a_shell(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(qemu_image.FILES["usr/local/sbin/railyard-soft-roce"])
    done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
