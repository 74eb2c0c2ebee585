# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A captured tree may be anybody's: nothing is read outside of it, wherever its links lead."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import kernellog, sockets
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root

LINE = "3,1,1,-;NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a directory beside the tree, with the log and the processes of another machine."""
    other = tmp_path / "outside"
    (other / "dev").mkdir(parents=True)
    (other / "dev/kmsg").write_text(LINE + "\n", encoding="utf-8")
    (other / "proc/4711/fd").mkdir(parents=True)
    (other / "proc/4711/fd/1").symlink_to("socket:[77]")
    (tmp_path / "tree").mkdir()
    return other


def test_the_log_of_another_machine(outside: Path) -> None:
    tree = outside.parent / "tree"
    (tree / "dev").symlink_to("../outside/dev")
    assert kernellog.read(Root(str(tree)), lambda words: (127, "", "no journalctl")).lines == []
    (tree / "dev").unlink()
    (outside / "dev").rename(tree / "dev")
    assert kernellog.read(Root(str(tree)), lambda words: (127, "", "no journalctl")).lines == [LINE]


@pytest.mark.parametrize("part", ["proc", "proc/4711", "proc/4711/fd"])
def test_the_processes_of_another_machine(part: str, outside: Path) -> None:
    link = outside.parent / "tree" / part
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside / part)
    assert sockets.open_files(Root(str(outside.parent / "tree"))).sockets == {}
    assert sockets.open_files(Root(str(outside))).sockets == {"77": 4711}
