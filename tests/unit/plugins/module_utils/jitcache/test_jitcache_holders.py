# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds GPUs, and what is started again: with real files and a systemctl that is played."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import holders
from ansible_collections.railyard.sglang.plugins.module_utils.services.units import UnitError


class Systemctl:
    """Plays systemctl for units of known states; one that is not known is not installed."""

    def __init__(self, fails: bool = False, **states: str) -> None:
        self.states = {f"sglang-{name.replace('_', '-')}.service": state for name, state in states.items()}
        self.calls: list[list[str]] = []
        self.fails = fails

    def __call__(self, command: list[str]) -> tuple[int, str, str]:
        if command[1] == "show":
            load = "loaded" if command[-1] in self.states else "not-found"
            return 0, f"LoadState={load}\nActiveState={self.states.get(command[-1], 'inactive')}\n", ""
        self.calls.append(command[1:])
        return (1, "", "no") if self.fails else (0, "", "")


def unit(directory: Path, name: str, role: str = "engine", cluster: str = "c", rank: int = 0) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    text = f"# railyard.sglang: unit of cluster {cluster}, role {role}\n[Unit]\nDescription=SGLang x, rank {rank} of 2 (prefill)\n"
    (directory / f"sglang-{name}.service").write_text(text)


def test_what_was_stopped_is_started_by_a_later_run(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert holders.noted(root) == []
    assert holders.note(root, ["sglang-b.service", "sglang-a.service"]) == ["sglang-a.service", "sglang-b.service"]
    # One that was killed, and the next one.
    names = ["sglang-a.service", "sglang-b.service", "sglang-c.service", "sglang-gone.service"]
    assert holders.note(root, ["sglang-c.service", "sglang-gone.service"]) == names
    with pytest.raises(UnitError):
        holders.restore(root, Systemctl(fails=True, a="inactive"))
    assert holders.noted(root) == names, "what could not be started is not forgotten"
    systemctl = Systemctl(a="inactive", b="active", c="failed")
    assert holders.waiting(root, systemctl) == holders.restore(root, systemctl) == ["sglang-a.service", "sglang-c.service"]
    assert systemctl.calls == [["start", "sglang-a.service", "sglang-c.service"]]
    assert holders.noted(root) == []
    assert holders.restore(root, systemctl) == []
    holders.forget(root)


def test_engines_that_the_plan_has_no_more(tmp_path: Path) -> None:
    for name, rank in (("planned", 0), ("old", 1), ("stopped", 0)):
        unit(tmp_path, name, rank=rank)
    unit(tmp_path, "router", role="router")
    unit(tmp_path, "other", cluster="d")
    systemctl = Systemctl(planned="active", old="activating", stopped="inactive", router="active", other="active")
    found = holders.others(systemctl, "c", ["sglang-planned.service"], str(tmp_path))
    assert found == [{"unit": "sglang-old.service", "rank": 1}]


def test_compilations_of_this_cluster(tmp_path: Path) -> None:
    units = tmp_path / "run/systemd/system"
    unit(units, "deepgemm-old-0", role="deepgemm")
    unit(units, "deepgemm-other-0", role="deepgemm", cluster="d")
    states = {f"deepgemm_{name}_0": "active" for name in ("old", "other", "prefill")} | {"deepgemm_decode_0": "inactive"}
    found = holders.compilations(Systemctl(**states), "c", ["prefill-0", "decode-0"], str(tmp_path))
    assert found == ["old-0", "prefill-0"]
