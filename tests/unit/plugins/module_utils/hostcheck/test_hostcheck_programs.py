# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of programs: nvidia-smi of any driver and in any state, the kernel's log, and programs that give none."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import kernellog, nvsmi, runner, xids
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import ERROR, NOTE, WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.runner import run
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

ADDRESS = "00000000:1A:00.0"


def test_a_program_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "tlh")
    assert run(["/bin/sh", "-c", "echo $LC_ALL; echo no >&2; exit 3"]) == (3, "C\n", "no\n")


def test_a_program_that_is_not_there() -> None:
    assert run(["/no/such/program"]) == (127, "", "/no/such/program: No such file or directory")


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    rc, out, err = run(["/bin/sh", "-c", f"(trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; wait) & wait"], 0.5)
    assert (rc, out, err) == (124, "", "/bin/sh gave no answer in 0.5 s")
    assert time.monotonic() - started < 10
    child = int((tmp_path / "pid").read_text(encoding="utf-8"))
    for _try in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if "Z" in Path(f"/proc/{child}/stat").read_text(encoding="utf-8").split(")")[1][:4]:
            return
        time.sleep(0.05)
    pytest.fail("the child is alive")


def test_output_that_is_no_text() -> None:
    rc, out, _err = run([sys.executable, "-c", "import sys; sys.stdout.buffer.write(b'\\xff\\xfe ok')"])
    assert (rc, out) == (0, "\ufffd\ufffd ok")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [(ADDRESS, "0000:1a:00.0"), ("0001:1a:00.0", "0001:1a:00.0"), ("00010000:1A:00.0", "0000:1a:00.0"), ("GPU-1", None), ("", None)],
)
def test_addresses(text: str, wanted: str | None) -> None:
    assert nvsmi.address(text) == wanted


def answers(*queries: tuple[int, str, str]) -> nvsmi.Smi:
    """Return what is read of answers in turn; what comes after them fails."""
    rows = list(queries)
    return nvsmi.read(lambda words: rows.pop(0) if rows else (1, "", ""))


INVALID = (2, 'Field "fabric.state" is not a valid field to query.', "")
FULL = f"{ADDRESS}, 81559, 4, Disabled, 0, [N/A], Completed, Success\n"


def test_the_newest_driver() -> None:
    found = answers((0, FULL, ""), (0, f"{ADDRESS}, 7, 500, python3, two\n", ""), (0, f"{ADDRESS}, 0, 1\n", ""))
    gpu = found.gpus["0000:1a:00.0"]
    assert (gpu.total, gpu.used, found.why, found.processes_known) == (81559, 4, "", True)
    assert gpu.processes == [nvsmi.Process(7, 500, "python3, two")]
    assert gpu.values["remapped_rows.failure"] == "yes"
    assert "remapped_rows.pending" not in gpu.values
    assert "retired_pages.pending" not in gpu.values


def test_older_drivers_are_asked_for_less() -> None:
    assert answers(INVALID, (0, f"{ADDRESS}, 81559, 4, Disabled, 0, No\n", "")).gpus["0000:1a:00.0"].used == 4
    found = answers(INVALID, INVALID, (0, f"{ADDRESS}, 16160, 0\n", ""))
    assert found.gpus["0000:1a:00.0"].total == 16160
    assert not found.processes_known


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ((127, "", "nvidia-smi: No such file or directory"), "nvidia-smi: No such file or directory"),
        ((124, "", "nvidia-smi gave no answer in 20 s"), "nvidia-smi gave no answer in 20 s"),
        ((9, "NVIDIA-SMI has failed because it couldn't communicate with the driver.\nMake sure\n", ""), "NVIDIA-SMI has failed because"),
        ((0, "No devices were found\n", ""), "No devices were found"),
        ((0, "", ""), "no GPU in its answer"),
        ((0, "[Unknown Error], [Unknown Error], [Unknown Error]\n" * 2, ""), "[Unknown Error]"),
        ((15, "Unable to determine the device handle for GPU0000:1A:00.0: Unknown Error\n", ""), "Unable to determine the device handle"),
    ],
)
def test_answers_without_a_gpu(query: tuple[int, str, str], why: str) -> None:
    found = answers(query)
    assert found.gpus == {}
    assert why in found.why


def test_values_that_are_not_available() -> None:
    found = answers((0, f"{ADDRESS}, [N/A], [Unknown Error], [N/A], [N/A], [N/A], [N/A], [N/A]\n", ""), (0, f"{ADDRESS}, 7, [N/A], \n", ""))
    gpu = found.gpus["0000:1a:00.0"]
    assert (gpu.total, gpu.used) == (None, None)
    assert gpu.processes == [nvsmi.Process(7, None, "")]


LINE = "kernel: NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def test_reports_of_the_driver() -> None:
    log = kernellog.Log(
        [LINE, "NVRM: Xid (3b:00): 13, Graphics", "x NVRM: Xid (PCI:0001:3B:00.0 GPU-I:05): 31", "NVRM: Xid (PCI:zz): many", "other"],
    )
    found = kernellog.events(log, kernellog.XID)
    assert [(event.pci, event.number) for event in found] == [("0000:3b:00.0", 79), ("0000:3b:00.0", 13), ("0001:3b:00.0", 31)]
    assert found[0].text.endswith("GPU has fallen off the bus.")
    assert found[0].line == LINE


def test_only_what_came_after_the_driver_was_loaded() -> None:
    log = kernellog.Log([LINE, "NVRM: loading NVIDIA UNIX x86_64 Kernel Module", "NVRM: Xid (PCI:0000:3b:00): 31, x"])
    assert [event.number for event in kernellog.events(log, kernellog.XID)] == [31]


def test_the_journal_first_then_the_ring(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def journal(words: list[str]) -> tuple[int, str, str]:
        asked.append(words)
        return (0, f"{LINE}\nnoise\n", "") if len(asked) == 1 else (1, "", "")

    assert kernellog.read(Root(str(tmp_path)), journal) == kernellog.Log([LINE], "the journal")
    assert not [word for word in asked[0] if word.startswith("--lines")]
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kmsg").write_text(f"6,1,0,-;Linux version 6.8\n{LINE}\n", encoding="utf-8")
    for failed in ((127, "", "no journalctl"), (1, "", "Compiled without pattern matching support")):
        found = kernellog.read(Root(str(tmp_path)), lambda words, failed=failed: failed)
        assert (found.lines, found.source, found.partial) == ([LINE], "the ring buffer", False)
    assert kernellog.read(Root(str(tmp_path / "none")), lambda words: (1, "", "")).why


def test_the_journal_is_read_oldest_first(tmp_path: Path) -> None:
    """As systemd from 252 on answers: newest first where --grep comes with --lines."""
    lines = [LINE, "kernel: NVRM: loading NVIDIA UNIX x86_64 Kernel Module", "kernel: NVRM: Xid (PCI:0000:3b:00): 31, x"]

    def journal(words: list[str]) -> tuple[int, str, str]:
        options = {word.partition("=")[0] for word in words}
        return 0, "\n".join(lines[::-1] if {"--grep", "--lines"} <= options else lines), ""

    (tmp_path / "sys/module/nvidia").mkdir(parents=True)
    log = kernellog.read(Root(str(tmp_path)), journal)
    assert (log.lines, log.partial) == (lines, False)
    assert [event.number for event in kernellog.events(log, kernellog.XID)] == [31]


def test_a_long_journal_is_cut_and_known_to_be(tmp_path: Path) -> None:
    lines = [f"{LINE} {number}" for number in range(kernellog.LINES + 5)]
    log = kernellog.read(Root(str(tmp_path)), lambda words: (0, "\n".join(lines), ""))
    assert (log.lines, log.partial) == (lines[5:], True)
    log = kernellog.read(Root(str(tmp_path)), lambda words: (0, "\n".join(lines[: kernellog.LINES - 1]), ""))
    assert not log.partial


def test_of_a_long_output_the_end_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST", 1000)
    rc, out, err = run([sys.executable, "-c", "import sys; print('x' * 200000); print('y' * 200000, 'end', file=sys.stderr)"])
    assert (rc, len(out), len(err), err[-4:]) == (0, 1000, 1000, "end\n")


def test_the_ring_of_this_machine_does_not_block() -> None:
    started = time.monotonic()
    found = kernellog.read(Root(), lambda words: (127, "", ""))
    assert time.monotonic() - started < 10
    assert found.known == bool(found.source)


def test_the_table_of_reports() -> None:
    assert len(xids.XIDS) > 30
    assert {level for level, _meaning in xids.XIDS.values()} == {ERROR, WARNING, NOTE}
    assert xids.judge(79, "")[0] == ERROR
    assert xids.judge(4711, "")[0] == NOTE
