# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures: read again they give the same facts, and nothing in them names the host."""

from __future__ import annotations

import bz2
import errno
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import topoxml
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.capture import capture, zipped
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import SUBSETS, gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import Recorder, open_root
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.captured import (
    ANSWERS,
    NAMES,
    SECRETS,
    UNIT,
    Pairs,
    replayed,
    secretive,
    unpack,
)
from ansible_collections.railyard.sglang.tests.unit.support.shared import captures
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X, Host, hgx
from ansible_collections.railyard.sglang.tests.unit.support.unpacking import unpack_into

T = TypeVar("T")
# What chooses devices must choose the same ones; names and indexes are no secrets.
CHOICE = ("data_devices", "data_ports", "missing", "gid_indexes", "gpu_map", "gpu_paths", "ambiguous", "gpu_map_ambiguous")

REFUSED = {
    "mlx5_1/ports/1/gid_attrs/types/3": errno.EINVAL, "0000:19:00.0/config": errno.EACCES, "ens0/speed": errno.EOPNOTSUPP,
    "mlx5_0/hw_rev": errno.EIO,
}


class Kernel(Recorder):
    """A machine whose kernel answers, and refuses as kernels do: a table stands in for RDMA hardware's."""

    @property
    def answers(self) -> bool:
        return True

    def ask(self, what: str, question: Callable[[], T]) -> T | None:
        def answer() -> Any:
            if what == "netns":
                raise OSError(errno.EPERM, "no")
            return ANSWERS[what]

        return super().ask(what, answer)

    def _open(self, path: str) -> tuple[int, int]:
        opened = super()._open(path)
        for end, code in REFUSED.items():
            if path.endswith(end):
                os.close(opened[0])
                raise OSError(code, "refused")
        return opened


def same(one: Root, other: Root, units: list[str] | None = None, again: list[str] | None = None) -> Pairs:
    """Return the texts of the facts of two roots in pairs; the facts must be the same but for them, and the selection in all."""
    facts, twins = gather(one, units=units or []), gather(other, units=again or [])
    chosen, twin = select(facts), select(twins)
    assert {key: chosen[key] for key in CHOICE} == {key: twin[key] for key in CHOICE}
    assert list(chosen["left_out"].values()) == list(twin["left_out"].values())
    return Pairs({**facts, "selection": chosen}, {**twins, "selection": twin})


def amd(host: Host) -> None:
    """Write GPUs of AMD, two cards on one switch, and virtual functions."""
    for index in range(2):
        switch = f"{0x20 + index * 16:02x}:01.0 {0x21 + index * 16:02x}:00.0"
        bus = 0x22 + index * 16
        host.gpu(f"{switch} {bus:02x}:00.0 {bus + 1:02x}:00.0", index, driver="amdgpu", **MI300X)
        way = f"{switch} {bus:02x}:01.0 {bus + 2:02x}:00.0"
        host.nic(f"ionic_{index}", way, index, f"enp{index}", layer="Ethernet", gids={1: f"v2 192.0.2.{index + 1} enp{index}"})
        host.nic(f"ionic_v{index}", f"{way[:-1]}1", index, virtual_of=way, layer="Ethernet", state="DOWN")


TREES: dict[str, Callable[[Host], Any]] = {
    "eight rails": lambda host: hgx(host, 8, management=(1, 2), slots=6),
    "two slow ports": lambda host: hgx(host, 2, management=(0, 3), slots=300),
    "AMD": amd,
    "bond": lambda host: (hgx(host, 2, slots=4), host.bond("bond0", ["ens0np0", "ens1np0"])),
    "soft": lambda host: host.soft("rxe0", "lo", gids={1: "v2 169.254.3.4 lo", 2: "v2 2001:db8::1 lo"}),
    "InfiniBand": lambda host: host.nic("ibp1s0", "17:00.0", layer="InfiniBand", gids={0: "IB fe80::b83f:d203:e3:1 -"}),
    "no PCI": lambda host: host.nic("mlx5_0", gbps=100, state="INIT"),
    "odd texts": lambda host: host.nic("mlx5_0", speed="10 Gb/sec (4X)", physical="ACTIVE", layer="Ethernet\n\n"),
    "loops": lambda host: (host.link("/sys/class/infiniband/mlx5_9", "/sys/class/infiniband/mlx5_9"), hgx(host, 1, slots=4)),
    "nothing": lambda host: None,
}


@pytest.mark.parametrize("write", TREES.values(), ids=TREES)
def test_trees(tmp_path: Path, write: Callable[[Host], Any]) -> None:
    host = Host(tmp_path / "host")
    write(host)
    pairs = same(Root(str(host.root)), replayed(Recorder(str(host.root)), tmp_path / "again"))
    assert all(not new.startswith("192.0.2.") for new in pairs.new.values())


SHARED = {
    "gpud-h100-ib": "", "procfs": "", "hwloc": "32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2", "rxe-debian12": "rxe-2dev.tar",
    "rccl": "topo_8p_940.xml", "azhpc": "ndv5-topo.xml",
}


@pytest.mark.parametrize(("directory", "file"), SHARED.items(), ids=SHARED)
def test_real_machines(tmp_path: Path, directory: str, file: str) -> None:
    place = captures()
    if place is None:
        pytest.skip("the captures of real machines are not here")
    root = place / directory
    if file.endswith(".xml"):
        root = topology(tmp_path / "host", topoxml.parse((root / file).read_text(encoding="utf-8")))
    elif file:
        data = (root / file).read_bytes()
        root = tmp_path / "host"
        with tarfile.open(fileobj=io.BytesIO(bz2.decompress(data) if file.endswith("bz2") else data)) as archive:
            unpack_into(archive, root)
        root = next(entry.parent for entry in [root / "sys", *root.rglob("sys")] if entry.is_dir())
    pairs = same(Root(str(root)), replayed(Recorder(str(root)), tmp_path / "again"))
    assert len(pairs.new) > 30


def topology(place: Path, facts: dict[str, Any]) -> Path:
    """Write the tree of a topology file of NCCL."""
    host = Host(place)
    for gpu in facts["gpus"]:
        host.gpu(" ".join(gpu["pci_path"] or [gpu["pci"]]), gpu["numa_node"])
    for index, device in enumerate(facts["devices"]):
        host.nic(f"mlx5_{index}", " ".join(device["pci_path"] or [device["pci"]]), device["numa_node"], layer="InfiniBand")
    return place


@pytest.mark.parametrize("kind", [Recorder, Kernel])
def test_a_machine_with_secrets(tmp_path: Path, kind: type[Recorder]) -> None:
    root = str(secretive(tmp_path / "host").root)
    found = capture(kind(root), NAMES, [UNIT])
    pairs = same(kind(root), unpack(found, tmp_path / "again"), [UNIT], ["host2-x.service"])
    facts = gather(kind(root), units=[UNIT])
    texts = json.dumps(facts)
    # What is looked for is there: the facts know it, the archive does not.
    known = [secret for secret in SECRETS if secret in texts]
    assert {"kea", "192.0.2.", "c000:02", "d203:00aa", "d2ff:feaa", "aabb3", f"{SERIAL_TEXT}"} <= set(known)
    assert leaks(found.archive) == []
    assert found.report["left_out"] == []
    changed = pairs.changed()
    # Of one card, the addresses and GUIDs still belong together.
    mac = changed["b8:3f:d2:aa:bb:00"]
    assert mac.startswith("b8:3f:d2:")
    tail = mac.replace(":", "")[6:]
    assert changed["b83f:d203:00aa:bb00"] == f"b83f:d203:00{tail[:2]}:{tail[2:]}"
    assert changed["fe80:0000:0000:0000:ba3f:d2ff:feaa:bb00"] == f"fe80:0000:0000:0000:ba3f:d2ff:fe{tail[:2]}:{tail[2:]}"
    # Of one address, too.
    assert changed["192.0.2.1/28"].startswith(changed["192.0.2.1"] + "/28")
    new = bytes(map(int, changed["192.0.2.17"].split("."))).hex()
    assert changed["0000:0000:0000:0000:0000:ffff:c000:0211"].endswith(f":{new[:4]}:{new[4:]}")
    assert facts["errors"] == {} if kind is Recorder else set(facts["errors"].values()) == {"EINVAL", "EACCES", "EPERM", "EIO"}


SERIAL_TEXT = "1f2e3d4c5b6a7988"


def leaks(archive: bytes) -> list[str]:
    """Return the secrets that are in an archive, as text in any case or as bytes."""
    text = archive.lower()
    return [secret for secret in SECRETS if secret.encode() in text or (len(secret) % 2 == 0 and _raw(secret) in archive)]


def _raw(secret: str) -> bytes:
    try:
        return bytes.fromhex(secret)
    except ValueError:
        return b"no hexadecimal digits"


def test_leaks_are_seen(tmp_path: Path) -> None:
    host = secretive(tmp_path / "host")
    everything = b"".join(path.read_bytes() for path in host.root.rglob("*") if path.is_file() and not path.is_symlink())
    names = "".join(map(str, host.root.rglob("*")))
    missed = set(SECRETS) - set(leaks(everything + names.encode()))
    # Those are in the answers of the kernel only, or in no file at all.
    assert missed <= {"2001:db8:77", "b83fd2aabb", "0002c0"}


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    root = str(secretive(tmp_path / "host").root)
    one, two = (capture(Recorder(root), NAMES, [UNIT]) for _turn in range(2))
    assert one == two
    assert zipped(one.archive) == zipped(two.archive)
    with tarfile.open(fileobj=io.BytesIO(one.archive)) as archive:
        entries = archive.getmembers()
    assert {(entry.uid, entry.gid, entry.mtime, entry.uname) for entry in entries} == {(0, 0, 946684800, "")}
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert not any(entry.linkname.startswith("/") for entry in entries)


def test_a_capture_of_a_capture(tmp_path: Path) -> None:
    root = str(secretive(tmp_path / "host").root)
    first = replayed(Recorder(root), tmp_path / "first", NAMES)
    second = replayed(Recorder(first.base), tmp_path / "second")
    same(first, second)


def test_what_was_replaced_is_counted_and_not_told(tmp_path: Path) -> None:
    report = capture(Kernel(str(secretive(tmp_path / "host").root)), NAMES, [UNIT]).report
    assert leaks(json.dumps(report).encode()) == []
    values = {kind: row["values"] for kind, row in report["replaced"].items()}
    # 192.0.2.1, .17 and .200; one prefix of IPv6; one GPU UUID; one serial number; one account and its group.
    assert (values["IPv4 addresses"], values["IPv6 networks"], values["UUIDs"], values["serial numbers"]) == (3, 1, 1, 1)
    assert (values["account names"], values["host names"]) == (1, 2)
    assert all(row["places"] >= row["values"] > 0 for row in report["replaced"].values())


def test_a_file_without_a_rule_stays_here(tmp_path: Path) -> None:
    host = hgx(Host(tmp_path / "host"), 1, slots=4)
    host.file("/etc/shadow", "kea")

    class Curious(Recorder):
        """Reads more than the facts do."""

        def list(self, path: str) -> list[str]:
            self.read("/etc/shadow")
            return super().list(path)

    found = capture(Curious(str(host.root)))
    assert found.report["left_out"] == ["/etc/shadow"]
    assert b"kea" not in found.archive
    assert b"shadow" not in found.archive


def test_this_machine(tmp_path: Path) -> None:
    for turn in range(5):
        before, place = gather(Root("/")), tmp_path / str(turn)
        again = replayed(Recorder("/"), place)
        # Interfaces may come and go on a machine that tests run on.
        if gather(Root("/")) == before:
            break
    assert again.answers
    pairs = Pairs(before, gather(again))
    assert pairs.new["127.0.0.1/8"] == "127.0.0.1/8"
    # Numbers of processes are other ones each time.
    assert not [path for path in (place / "proc").iterdir() if path.name.isdigit()]


@pytest.mark.parametrize(
    "notes",
    [
        b"", b"\xff", b"[]", b"{}", b"{" * 9999, b'{"format": 2}', b'{"format": 1}', b'{"format": 1, "errors": 7, "answers": 7}',
        b'{"format": 1, "errors": {"read": [], "list": {"/sys/class/net": 5}, "find": {"/x": "__doc__"}}, "answers": {"addresses": 1}}',
        b'{"format": 1, "answers": {"addresses": {"a": [1]}, "rdma": {"mlx5_0": {"ports": {"x": 1, "1": 7}}}, "dcb": {"a": {"pfc": "x"}}}}',
        b'{"format": 1, "answers": {"addresses": {"a": 1}, "rdma": {"mlx5_0": 1}, "dcb": {"a": {"pfc": [NaN]}}, "netns": 1}}',
    ],
)
def test_damaged_notes(tmp_path: Path, notes: bytes) -> None:
    host = hgx(Host(tmp_path), 1, slots=4)
    host.file("/capture.json", notes)
    facts = gather(open_root(str(tmp_path)), SUBSETS)
    assert [row["name"] for row in facts["devices"]] == ["mlx5_0"]
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["errors"] == ({} if b'"format": 1' in notes else {"/capture.json": "EBADMSG"})


def test_what_nobody_expects_in_a_file_stays_here(tmp_path: Path) -> None:
    host = Host(tmp_path / "host")
    attributes = {"fw_ver": b"\xff" * 9, "node_guid": "x" * 300, "board_id": "k" * 257, "hca_type": "MT4129"}
    host.nic("mlx5_0", attributes=attributes, gids={0: "v2 192.0.2.1 lo"})
    host.file("/sys/class/infiniband/mlx5_0/ports/1/gids/0", "kea")
    found = capture(Recorder(str(host.root)))
    base = "/sys/class/infiniband/mlx5_0"
    assert found.report["blotted"] == [f"{base}/{name}" for name in ("board_id", "fw_ver", "node_guid", "ports/1/gids/0")]
    facts = gather(unpack(found, tmp_path / "again"))
    (device,) = facts["devices"]
    assert [device[name] for name in ("fw_ver", "node_guid", "board_id", "hca_type")] == ["?", "?", "?", "MT4129"]
    assert facts["errors"] == {f"{base}/ports/1/gids/0": "EBADMSG"}


def test_less_without_privileges(plain_user: Path) -> None:
    root = secretive(plain_user / "host").root
    for path in ("proc/cmdline", "proc/kallsyms", "sys/class/infiniband/mlx5_0/fw_ver", "etc/security/limits.conf"):
        (root / path).chmod(0)
    (root / "sys/class/kfd/kfd/topology").chmod(0o711)
    (root / "sys/class/kfd/kfd/topology/nodes").chmod(0)
    again = replayed(Recorder(str(root)), plain_user / "again", NAMES)
    same(Root(str(root)), again)
    assert again.errors["/proc/cmdline"] == again.errors["/sys/class/kfd/kfd/topology/nodes"] == "EACCES"
    assert len(again.errors) == 5


def test_failures_are_replayed(tmp_path: Path) -> None:
    host = hgx(Host(tmp_path), 1, slots=4)
    errors = {
        "read": {"/proc/cmdline": "EIO"},
        "list": {"/sys/class/net": "EACCES", "/sys/bus/pci/devices": "E2BIG"},
        "find": {"/dev/x": "ELOOP"},
        "link": {"/sys/y": "EACCES"},
        "ask": {"/netlink/addresses": "EPERM"},
    }
    host.file("/capture.json", json.dumps({"format": 1, "errors": errors, "answers": {"netns": "shared"}}))
    root = open_root(str(tmp_path))
    assert (root.read("/proc/cmdline"), root.contains("/proc/cmdline", ["x"]), root.list("/sys/class/net")) == (None, None, [])
    assert (root.real("/dev/x"), root.link("/sys/y"), root.ask("netns", lambda: "exclusive")) == (None, None, "shared")
    assert root.list("/sys/bus/pci/devices")
    assert root.ask("addresses", lambda: "x") is None
    names = {"/proc/cmdline": "EIO", "/sys/class/net": "EACCES", "/sys/bus/pci/devices": "E2BIG", "/dev/x": "ELOOP", "/sys/y": "EACCES"}
    assert root.errors == {**names, "/netlink/addresses": "EPERM"}


SENSIBLE = (b"4: ACTIVE", b"-1", b"0x10de", b"b8:3f:d2:aa:bb:01", b"192.0.2.1", b"\xc2\xb2")
CONTENT = st.one_of(st.binary(max_size=60), st.sampled_from(SENSIBLE))
PART = st.sampled_from(["..", ".", "sys", "class", "net", "ens1", "mlx5_0", "/", "x", "\udcff"])
LINK = st.lists(PART, min_size=1, max_size=8).map("/".join)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_machines(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as directory:
        root = Path(directory) / "host"
        secretive(root)
        (root.parent / "outside").write_text("swordfish", encoding="utf-8")
        everything = sorted(Path(above) / name for above, names, files in os.walk(root) for name in [*names, *files])
        for path in data.draw(st.lists(st.sampled_from(everything), min_size=1, max_size=20, unique=True)):
            if not (path.is_symlink() or path.exists()):
                continue
            path.rename(path.with_name(path.name + "~"))
            if data.draw(st.booleans()):
                path.write_bytes(data.draw(CONTENT))
            else:
                path.symlink_to(data.draw(LINK))
        found = capture(Kernel(str(root)), NAMES, [UNIT])
        facts = gather(unpack(found, Path(directory) / "again"))
        assert "swordfish" not in json.dumps(facts, allow_nan=False)
        assert b"swordfish" not in found.archive
