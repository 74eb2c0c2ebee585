# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees made to harm: what is opened on the way, how long it takes, and what names do."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import open_root
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import natural
from ansible_collections.railyard.sglang.tests.unit.support.layout import Layout

OPENED: list[str] = []
WATCHED = {"open", "os.listdir", "os.scandir"}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in WATCHED and OPENED and isinstance(arguments[0], str):
        OPENED.append(arguments[0])


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """Collect every path that is opened or listed meanwhile; the first entry only says that somebody watches."""
    if not getattr(watched, "installed", False):
        sys.addaudithook(_hook)
        watched.installed = True
    OPENED.append("")
    try:
        yield OPENED
    finally:
        OPENED.clear()


def small(root: Path) -> Layout:
    """Write a machine with two rails, and files of most kinds."""
    machine = Layout(root)
    for rail in range(2):
        machine.accelerator(f"{rail}/h{rail}/s")
        gids = {3: f"v2 192.0.2.{rail + 1} eth{rail}"}
        machine.card(f"mlx5_{rail}", f"{rail}/h{rail}/s", netdev=f"eth{rail}", gids=gids, slots=4)
    machine.files("/proc", {"cmdline": "ro", "sys/kernel/osrelease": "6.1", "kallsyms": "0 T x", "net/fib_trie": "x", "net/route": "x"})
    machine.file("/sys/module/amdgpu/version", "1")
    machine.file("/etc/systemd/system/x.service", "[Service]")
    return machine


def facts_of(root: Path | str) -> dict[str, Any]:
    """Return the facts and the choice of a tree, which must be JSON."""
    facts = gather(open_root(str(root)), units=["x.service"])
    facts["selection"] = select(facts)
    json.dumps(facts, allow_nan=False)
    return facts


def test_nothing_outside_is_opened(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    small(root)
    (tmp_path / "outside").mkdir()
    for directory in ("sys/class/infiniband", "sys/class/net", "sys/bus/pci/devices", "proc/net"):
        place = root / directory
        place.mkdir(parents=True, exist_ok=True)
        up = "../" * 40
        for name, target in {
            "abs": "/etc", "up": up + "etc", "out": os.path.relpath(tmp_path / "outside", place), "proc": "/proc/self/root/etc",
            "self": ".", "above": "..", "long": "a/" * 2000, "full": str(tmp_path / "outside"),
        }.items():
            (place / name).symlink_to(target)
        for number in range(60):
            (place / f"chain{number}").symlink_to(f"chain{number + 1}")
    with watched() as paths:
        facts = facts_of(root)
        seen = [path for path in paths if path]
    assert len(seen) > 80
    assert [path for path in seen if not os.path.realpath(path).startswith(f"{root.resolve()}/")] == []
    assert facts["selection"]["data_devices"] == ["mlx5_0", "mlx5_1"]
    assert "ELOOP" in facts["errors"].values()


def special(path: Path, kind: str) -> None:
    """Put something that is no file into a file's place."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(path.parent):
            listener.bind(path.name)
    else:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 5))


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"] if os.geteuid() == 0 else ["pipe", "socket"])
def test_what_is_no_file_does_not_block(tmp_path: Path, kind: str) -> None:
    small(tmp_path)
    files = [Path(directory) / name for directory, _names, found in os.walk(tmp_path) for name in found]
    files = [path for path in files if not path.is_symlink()]
    for path in files:
        special(path, kind)
    start = time.monotonic()
    facts = facts_of(tmp_path)
    assert time.monotonic() - start < 20
    assert set(facts["errors"].values()) == {"ENODEV"}
    assert facts["selection"]["data_devices"] == []


def test_closed_files_of_another_user(plain_user: Path) -> None:
    machine = small(plain_user / "tree")
    for path in ("/proc/kallsyms", "/proc/cmdline", "/etc/systemd/system", "/sys/class/net"):
        (machine.root / path.lstrip("/")).chmod(0)
    facts = facts_of(machine.root)
    assert {"/proc/kallsyms", "/proc/cmdline"} <= {path for path, code in facts["errors"].items() if code == "EACCES"}
    assert facts["selection"]["data_devices"] == ["mlx5_0", "mlx5_1"]
    for path in ("/etc/systemd/system", "/sys/class/net"):
        (machine.root / path.lstrip("/")).chmod(0o755)


@pytest.mark.parametrize("name", ["a b", "new\nline", "ümläut", "x" * 200, "q'\"$(touch z)"])
def test_names_of_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    expected = facts_of(small(tmp_path / name).root)
    (tmp_path / "link").symlink_to(name)
    monkeypatch.chdir(tmp_path)
    for way in (f"{tmp_path}/{name}/", f"{tmp_path}/{name}//./../{name}", tmp_path / "link", name):
        assert facts_of(way) == expected


def test_names_of_devices(tmp_path: Path) -> None:
    machine = Layout(tmp_path)
    odd = ["mlx5_ü", "mlx5 0", "..x", "-rf", "mlx5_1:1", "a,b", "%s{}", "$(id)"]
    for name in ["mlx5_0", *odd, "new\nline"]:
        machine.card(name, "0/h/s", gbps=400)
    facts = facts_of(tmp_path)
    assert facts["selection"]["data_devices"] == ["mlx5_0"]
    assert {key.rpartition(":")[0] for key in facts["selection"]["left_out"]} == set(odd)
    assert facts["errors"]["/sys/class/infiniband"] == "EILSEQ"


def test_a_thousand_devices_and_interfaces(tmp_path: Path) -> None:
    machine = Layout(tmp_path)
    for gpu in range(16):
        machine.accelerator(f"{gpu % 2}/h{gpu}/s")
    for number in range(800):
        machine.card(f"mlx5_{number}", f"{number % 2}/h{number % 16}/s", gbps=400)
    for number in range(1000):
        machine.netdev(f"veth{number}")
    rows = [(number, f"192.0.{number // 256}.{number % 256}") for number in range(1000)]
    machine.file("/proc/net/fib_trie", "\n".join(f"|-- {address}\n/32 host LOCAL" for _number, address in rows))
    routes = "\n".join(f"veth{number} {number % 256:02X}{number // 256:02X}00C0 0 1 0 0 0 FFFFFFFF" for number, _address in rows)
    machine.file("/proc/net/route", f"header\n{routes}")
    start = time.process_time()
    facts = facts_of(tmp_path)
    assert time.process_time() - start < 20
    assert len(facts["selection"]["data_devices"]) == 800
    assert facts["interfaces"]["veth999"]["addresses"] == ["192.0.3.231/32"]


def test_numbers_of_thousands_of_digits_sort() -> None:
    assert sorted(["b" + "9" * 5000, "b10", "b9"], key=natural) == ["b9", "b10", "b" + "9" * 5000]
