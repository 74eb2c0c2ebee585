# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Odd hosts: files of any content or kind, programs that answer anything. They give unknown, never a traceback and never a hang."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck import look
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rows import OK, STATES, UNKNOWN, Row
from ansible_collections.railyard.sglang.plugins.module_utils.hostcheck.rules import RULES
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostcheck import world as worlds

FUZZ = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def garbage(choice: random.Random, data: bytes) -> bytes:
    """Return something else than a file held."""
    kind = choice.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return bytes(choice.randrange(256) for _place in range(choice.randrange(200)))
    if kind == 2:
        return data[: choice.randrange(len(data) + 1)]
    if kind == 3:
        return data * 50
    if kind == 4:
        return b"-1\n"
    place = choice.randrange(len(data) + 1)
    return data[:place] + b"\xff\x00" + data[place:]


def damage(choice: random.Random, place: Path) -> None:
    """Replace some files of a tree by other content, by things that are no files, or by nothing."""
    for path in sorted(place.rglob("*")):
        if path.is_symlink() or not path.is_file() or choice.random() > 0.2:
            continue
        kind = choice.randrange(8)
        data = path.read_bytes()
        path.unlink()
        if kind == 0:
            path.mkdir()
        elif kind == 1:
            path.symlink_to(path.name)
        elif kind == 2:
            os.mkfifo(path)
        elif kind > 3:
            path.write_bytes(garbage(choice, data))


@FUZZ
@given(st.sampled_from([worlds.cpu_world, worlds.gpu_world, worlds.amd_world]), st.randoms(use_true_random=False))
def test_odd_hosts(make: Callable[[Path], worlds.World], choice: random.Random) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = make(Path(directory))
        damage(choice, Path(directory))
        answer = world.run

        def run(words: list[str]) -> tuple[int, str, str]:
            rc, out, err = answer(words)
            if choice.random() < 0.4:
                return choice.choice([0, 1, 124]), garbage(choice, out.encode()).decode("utf-8", "replace"), err
            return rc, out, err

        context = world.context()
        context.run = run
        rows = look.rows(context)
    assert {row.rule for row in rows} == set(RULES)
    assert {row.state for row in rows} <= set(STATES)
    internal = [row.text for row in rows if row.rule == "preflight.internal" and row.state != OK]
    assert not internal, internal
    assert look.table(rows)


def test_an_empty_tree(tmp_path: Path) -> None:
    world = worlds.World(worlds.Host(tmp_path / "empty"), worlds.gpu_world(tmp_path / "full").plan)
    rows: list[Row] = world.rows()
    fine = {row.rule for row in rows if row.state == OK}
    # Where the absence of a file is the answer, and nothing else.
    absent = ("internal", "memlock", "python-path", "site-packages", "library-path", "preload", "nccl-file")
    assert fine <= {f"preflight.{name}" for name in absent}
    assert {row.rule for row in rows if row.state == UNKNOWN} >= {f"preflight.{name}" for name in ("xid", "shm", "proxy", "gpu-memory")}
