# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens beside the module: the script of the boot, units, the lock that both take, and engines that run."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import apply, files, live, views
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Step
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Port, Wanted
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hosttuning.tuned_machine import RAILS, Machine, wanted

PORTS = [Port(f"mlx5_{number}", 1, f"ens{number}") for number in range(3)]


def script(root: Path, *argument: str, comes: str = "") -> tuple[list[str], int, int, str]:
    """Run the script of the boot on devices below a directory; return what was set, the seconds that it slept, its status and words.

    :param comes: device that appears in the tenth second.
    """
    commands = {port: [f"run tune {port.device}"] for port in PORTS}
    text = files.files(Wanted(), {}, [], commands)[files.QOS_SCRIPT].decode().replace("/sys/class", str(root))
    programs = {
        "tune": f"echo set $1 >> {root}/log",
        "sleep": f"echo sleep >> {root}/log; [ -z '{comes}' ] || [ $(grep -c sleep {root}/log) -lt 10 ] || "
        f"mkdir -p {root}/infiniband/{comes}",
    }
    for name, body in programs.items():
        (root / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (root / name).chmod(0o755)
    (root / "script").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["/bin/sh", str(root / "script"), *argument],
        env={"PATH": f"{root}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    log = (root / "log").read_text(encoding="utf-8").splitlines() if (root / "log").exists() else []
    return [line for line in log if line != "sleep"], log.count("sleep"), done.returncode, done.stderr


@pytest.fixture(name="devices")
def make_devices(tmp_path: Path) -> Path:
    """The directory of /sys/class, with the last of three devices."""
    for path in ("infiniband/mlx5_2", *(f"net/{port.netdev}" for port in PORTS)):
        (tmp_path / path).mkdir(parents=True)
    return tmp_path


def test_ports_that_are_there_come_first_and_the_others_share_a_minute(devices: Path) -> None:
    done, slept, status, words = script(devices)
    assert (done, slept, status) == (["set mlx5_2"], 60, 1)
    assert words == "no RDMA device mlx5_0 with network device ens0; no RDMA device mlx5_1 with network device ens1\n"


def test_a_port_is_set_as_soon_as_it_comes(devices: Path) -> None:
    (devices / "infiniband/mlx5_0").mkdir()
    assert script(devices, comes="mlx5_1") == (["set mlx5_0", "set mlx5_2", "set mlx5_1"], 10, 0, "")


def test_the_unit_of_one_device_waits_for_no_other(devices: Path) -> None:
    assert script(devices, "mlx5_2") == (["set mlx5_2"], 0, 0, "")


def test_engines_start_after_the_ports_are_set_and_do_not_set_them(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "root")
    own = {"sglang-.service": {"Service": {"LimitNOFILE": "2000000"}}}
    machine.apply(wanted(rails=RAILS, traffic_class=106, drop_ins=own))
    texts = [machine.text(path) or "" for path in machine.find(f"{files.UNITS}/sglang-.service.d/*")]
    assert [text.splitlines()[1:] for text in texts] == [
        ["[Unit]", f"After={files.QOS}"],
        ["[Service]", "LimitNOFILE=2000000"],
    ]
    machine.apply(Wanted())
    assert not machine.exists(f"{files.UNITS}/sglang-.service.d")


@contextmanager
def held(machine: Machine) -> Iterator[None]:
    """Hold the lock as the script of the boot does, in a process of its own."""
    command = ["/bin/sh", "-c", f"exec 9> {machine.real(files.QOS_LOCK)} && flock 9 && echo held && read -r _end"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.communicate("\n")


def test_nobody_reads_or_sets_a_class_while_the_boot_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path / "root")
    monkeypatch.setattr(views, "PATIENCE", 0.2)
    step = Step("connection", "x", argv=("mlx5_0", "1"), content=b"106")
    port = Port("mlx5_0", 1, "ens1")
    before = machine.state()
    message = r"another process has held /run/railyard-rdma-qos.lock for 0.2 s. Fix: "
    with held(machine):
        with pytest.raises(TimeoutError, match=message):
            live.port_class(machine, port)
        with pytest.raises(TimeoutError, match=message):
            apply.take(machine, machine.run, step)
        assert machine.state() == before
    apply.take(machine, machine.run, step)
    assert live.port_class(machine, port).managed == 106


def test_a_class_is_read_and_set_under_the_lock(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "root")
    taken: list[str] = []

    def locked() -> bool:
        with open(machine.real(files.QOS_LOCK), "wb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    class Watched(Machine):
        """Notes what is done under the lock."""

        def __init__(self) -> None:
            self.__dict__.update(machine.__dict__)

        def put(self, path: str, content: bytes) -> None:
            taken.append(f"set {locked()}")
            super().put(path, content)

        def text(self, path: str) -> str | None:
            taken.append(f"read {locked()}") if path.endswith("default_roce_tos") else None
            return super().text(path)

    apply.take(Watched(), machine.run, Step("connection", "x", argv=("mlx5_0", "1"), content=b"8"))
    assert live.port_class(Watched(), Port("mlx5_0", 1, "ens1")).managed == 8
    assert taken == ["set True", "read True"]
    assert not locked()


def test_only_the_routers_own_unit_is_no_engine() -> None:
    names = ("sglang-router.service", "sglang-router-0.service", "sglang-prefill-0.service")
    shown = "\n\n".join(f"Id={name}\nActiveState=active" for name in names)
    assert live.serving(lambda _argv: (0, shown, "")) == ("sglang-prefill-0.service", "sglang-router-0.service")


def test_a_directory_named_like_a_settings_file_is_passed_over(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "root")
    Path(machine.real("/etc/sysctl.d/50.conf")).mkdir()
    assert [path for path, _text in live.sysctl_files(machine)] == ["/etc/sysctl.d/10-theirs.conf"]


def test_what_could_not_be_restored_is_restored_later(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "root", "mlnx_qos")
    for port in machine.ports.values():
        port["trust"] = "dscp"
    before = machine.state()
    machine.apply(wanted(rails=RAILS, trust="dscp", pfc=[3]))
    machine.tool = "none"
    assert "stays in the record" in machine.apply(Wanted()).notes[0]
    machine.tool = "mlnx_qos"
    machine.apply(Wanted())
    assert machine.state() == before
