# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged trees: whatever is in the files, the facts come in time, as JSON, and from below the root."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import netlink, pci, system, units
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X, Host, config_space

SECRET = "text-from-outside-the-root"
STEP = 2
FUZZ = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def machine(root: Path) -> Host:
    """Write a small machine that has a file of every kind that is read."""
    host = Host(root)
    switch = "17:01.0 18:00.0"
    host.gpu(f"{switch} 19:00.0 1a:00.0", 0, current_link_speed="32.0 GT/s PCIe", current_link_width="16", max_link_width="16")
    host.gpu("97:01.0 98:00.0", 1, driver="amdgpu", **MI300X)
    host.pci(f"{switch} 19:00.0", config=config_space("downstream", 0x1D))
    gids = {0: "v1 fe80::1 ens1", 1: "v2 fe80::1 ens1", 3: "v2 192.0.2.1 ens1"}
    host.nic("mlx5_0", f"{switch} 19:01.0 1b:00.0", 0, "ens1", pci={"sriov_numvfs": 1}, gids=gids, slots=6)
    host.nic("mlx5_1", f"{switch} 19:01.0 1b:00.1", 0, "ens2", virtual_of=f"{switch} 19:01.0 1b:00.0", layer="InfiniBand", slots=2)
    host.bond("bond0", ["ens1", "ens2"])
    host.soft("rxe0", "bond0", gids={1: "v2 192.0.2.2 bond0"})
    host.files("/proc/net", {"fib_trie": "|-- 192.0.2.1\n/32 host LOCAL", "if_inet6": "0" * 32})
    host.file("/proc/net/route", "h\nens1 000200C0 0 1 0 0 0 00FFFFFF")
    host.files("/proc", {"cmdline": "ro numa=off", "cpuinfo": "flags : hypervisor", "sys/kernel/osrelease": "6.1.0", "self/limits": "x"})
    host.file("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.124.06")
    host.file("/proc/driver/nvidia/gpus/0000:1a:00.0/information", "Model: NVIDIA H100\nGPU UUID: GPU-1")
    host.file("/sys/class/kfd/kfd/topology/nodes/1/properties", "simd_count 8\nlocation_id 38912\ndomain 0")
    host.file("/sys/class/infiniband_verbs/uverbs0/ibdev", "mlx5_0")
    host.file("/sys/kernel/iommu_groups/0/type", "DMA")
    host.file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "1")
    host.file("/lib/modules/6.1.0/modules.dep", "kernel/nvidia-peermem.ko:")
    host.file("/proc/kallsyms", "0 T ib_register_peer_memory_client")
    host.file("/proc/config.gz", b"\x1f\x8b\x08")
    host.file("/etc/systemd/system/x.service", "[Service]\nLimitMEMLOCK=infinity")
    host.file("/etc/security/limits.conf", "* - memlock 1")
    return host


def places(root: Path) -> list[Path]:
    """Return every file, link and directory of a tree in a fixed order."""
    return sorted(Path(directory) / name for directory, names, files in os.walk(root) for name in [*names, *files])


def facts_of(root: Path) -> dict[str, Any]:
    """Return the facts of a tree and its selection; they must come soon, and hold nothing from outside."""
    start = time.monotonic()
    facts = gather(Root(str(root)), units=["x.service"])
    facts["selection"] = select(facts)
    text = json.dumps(facts, allow_nan=False)
    assert time.monotonic() - start < 10
    assert SECRET not in text
    text.encode("utf-8")
    return facts


@pytest.fixture(name="place", scope="module")
def make_place() -> Iterator[Path]:
    """A directory with a secret that trees lie beside; the disk's speed is of no interest."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        found = Path(directory)
        (found / "secret").write_text(SECRET, encoding="utf-8")
        (found / "secrets").mkdir()
        for name in ("state", "mtu", "class", "vendor", "mlx5_7", "0"):
            (found / "secrets" / name).write_text(SECRET, encoding="utf-8")
        yield found


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """Put something else into a path's place."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        path.rename(path.with_name(path.name + "~"))
    write(path)


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "missing": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256)) * 20),
    "zeros": lambda path: path.write_bytes(b"\0" * 100),
    "huge": sparse,
    "long line": lambda path: path.write_text("9" * 70000, encoding="utf-8"),
    "long number": lambda path: path.write_text("9" * 5000, encoding="utf-8"),
    "strange numbers": lambda path: path.write_text("-1 ² ٣ 1e999 nan 0x", encoding="utf-8"),
    "many lines": lambda path: path.write_text(":\n=\n[\n" * 9000, encoding="utf-8"),
    "directory": lambda path: path.mkdir(),
    "directory of oddities": lambda path: [(path / name).mkdir(parents=True) for name in ("1", "²", "-1", "0", "x" * 255, "a b", "99999")],
    "pipe": os.mkfifo,
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to the directory above": lambda path: path.symlink_to(".."),
    "link to the root": lambda path: path.symlink_to("/"),
    "link to the secret": lambda path: path.symlink_to(os.path.relpath(root_of(path).parent / "secret", path.parent)),
    "absolute link to the secret": lambda path: path.symlink_to(root_of(path).parent / "secret"),
    "absolute link to secrets": lambda path: path.symlink_to(root_of(path).parent / "secrets"),
    "link to secrets": lambda path: path.symlink_to(os.path.relpath(root_of(path).parent / "secrets", path.parent)),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
}


def root_of(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.name == "tree")


@pytest.mark.parametrize(("turn", "write"), list(enumerate(DAMAGES.values())), ids=DAMAGES)
def test_files_damaged_in_turn(place: Path, turn: int, write: Callable[[Path], Any]) -> None:
    with tempfile.TemporaryDirectory(dir=place) as directory:
        root = Path(directory) / "tree"
        machine(root)
        (root.parent / "secret").symlink_to(place / "secret")
        (root.parent / "secrets").symlink_to(place / "secrets")
        everything = places(root)
        assert len(everything) > 150
        # Each kind of damage gets another share of the files, so that all together hit every file several times.
        for path in everything[turn % STEP :: STEP]:
            kept = path.with_name(path.name + "~~")
            path.rename(kept)
            write(path)
            facts_of(root)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            kept.rename(path)


def test_the_secret_is_within_reach(place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=place) as directory:
        path = Path(directory) / "tree/sys/x"
        path.parent.mkdir(parents=True)
        (Path(directory) / "secret").symlink_to(place / "secret")
        for name in ("link to the secret", "absolute link to the secret"):
            DAMAGES[name](path)
            assert path.read_text(encoding="utf-8") == SECRET
            assert Root(f"{directory}/tree").read("/sys/x") is None
            path.unlink()


def test_the_machine_is_whole(place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=place) as directory:
        facts = gather(machine(Path(directory) / "tree") and Root(f"{directory}/tree"))
    assert [row["name"] for row in facts["devices"]] == ["mlx5_0", "mlx5_1", "rxe0"]
    assert [row["vendor"] for row in facts["gpus"]] == ["nvidia", "amd"]
    assert facts["gpus"][0]["model"] == "NVIDIA H100"
    assert facts["gpus"][1]["partitions"] == 1
    assert facts["system"]["peermem"]["loadable"] is True
    assert facts["system"]["acs"]["redirecting"] == ["0000:19:00.0"]
    assert facts["errors"] == {}


SENSIBLE = ("4: ACTIVE", "400 Gb/sec (4X NDR)", "-1", "0x030200", "0x10de", "Ethernet", "mlx5_0", "1", "../../..", "ens1")
CONTENT = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(SENSIBLE).map(str.encode),
)
PART = st.sampled_from(["..", ".", "sys", "class", "devices", "net", "ens1", "mlx5_0", "/", "ports", "1", "x"])
LINK = st.lists(PART, min_size=1, max_size=8)


@FUZZ
@given(data=st.data())
def test_damage_at_random(place: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=place) as directory:
        root = Path(directory) / "tree"
        machine(root)
        everything = places(root)
        for path in data.draw(st.lists(st.sampled_from(everything), min_size=1, max_size=25, unique=True)):
            if not (path.is_symlink() or path.exists()):
                continue
            if data.draw(st.booleans()):
                content = data.draw(CONTENT)
                replace(path, lambda target, content=content: target.write_bytes(content))
            else:
                parts = data.draw(LINK)
                replace(path, lambda target, parts=parts: target.symlink_to("/".join(parts)))
        facts_of(root)


@FUZZ
@given(data=st.binary(max_size=200))
def test_netlink_answers(data: bytes) -> None:
    for read in (lambda: list(netlink.messages(data)), lambda: netlink.parse_dcb(data), lambda: netlink.parse_addresses([data], {1: "x"})):
        try:
            json.dumps(read(), default=repr)
        except OSError:
            # The answer may be an error, whatever its number.
            continue


@FUZZ
@given(data=st.binary(max_size=4096), start=st.binary(min_size=64, max_size=64))
def test_configuration_spaces(data: bytes, start: bytes) -> None:
    kind, control = pci.port_type_and_acs(start + data)
    assert kind in (None, "root", "upstream", "downstream")
    assert control is None or 0 <= control <= 0xFFFF


@FUZZ
@given(text=st.text(max_size=200))
def test_unit_files(text: str) -> None:
    for section, name, value in units.assignments(text):
        assert "=" not in name
        assert value == value.strip()
        assert "\n" not in section
    assert units.limit(text) is None or isinstance(units.limit(text), (int, str))


@FUZZ
@given(text=st.text(alphabet="abc='\"\\ numaoff\n\0", max_size=80))
def test_command_lines(place: Path, text: str) -> None:
    with tempfile.TemporaryDirectory(dir=place) as directory:
        Host(Path(directory)).file("/proc/cmdline", text)
        assert system.command_line(Root(directory))["known"]
