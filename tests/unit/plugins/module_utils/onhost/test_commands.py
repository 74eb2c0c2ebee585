# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of modules on hosts: real programs, and ends for those that give no answer."""

from __future__ import annotations

import shutil
import time
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.onhost import commands


class Module:
    """Stands for an AnsibleModule."""

    def get_bin_path(self, name: str, opt_dirs: list[str]) -> str | None:
        return shutil.which(name, path=":".join([*opt_dirs, "/usr/bin", "/bin"]))


def runner(*words: Any, **more: Any) -> commands.Runner:
    module: Any = Module()
    return commands.runner(module, *words, **more)


def test_answers() -> None:
    assert runner()(["sh", "-c", "echo a; echo b >&2; exit 3"]) == (3, "a\n", "b\n")
    assert runner((), "C.UTF-8")(["sh", "-c", "echo $LC_ALL"]) == (0, "C.UTF-8\n", "")
    assert runner()(["sh", "-c", "echo $LC_ALL"]) == (0, "C\n", "")
    rc, out, err = runner()(["railyard-nothing"])
    assert (rc, out, err) == (commands.NOT_FOUND, "", "railyard-nothing: not found")


def test_nothing_is_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "SECONDS", 0.5)
    begun = time.monotonic()
    rc, _out, err = runner()(["sleep", "100"])
    assert (rc, "gave no answer in 0.5 s" in err) == (124, True)
    assert time.monotonic() - begun < 50
    # Who may take longer may.
    assert runner(longer={"sleep": 60})(["sleep", "1"])[0] == 0
