# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The budget of task-host pairs is one that can be exceeded; and the benchmark of names touches nothing but hosts of the lab."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(name="bench")
def load_bench() -> ModuleType:
    return loaded("bench_no_change")


@pytest.fixture(name="names")
def load_names() -> ModuleType:
    return loaded("bench_nic_names")


RAILS = [{"rail": 0, "mac": "02:00:5e:00:53:01", "interface": "enp12s0"}]


@pytest.mark.parametrize(
    "variables",
    [{}, {"lab_rails": RAILS, "lab_name": "lab"}, {"lab_rails": RAILS, "lab_name": "lab", "lab_backend": "nspawn"},
     {"lab_backend": "qemu", "lab_name": "lab"}],
)
def test_names_are_measured_on_virtual_machines_of_the_lab_only(names: ModuleType, variables: dict[str, object]) -> None:
    with pytest.raises(SystemExit, match=r"no virtual machine of the lab .* Fix: -i inventory/lab"):
        names.rails_of(variables, "p0")


def test_names_remove_no_files_but_their_own(names: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = json.dumps({"lab_rails": RAILS, "lab_name": "lab", "lab_backend": "qemu"})
    asked: list[str] = []

    def command(_bench: object, *words: str, **_more: str) -> str:
        asked.append(words[-1])
        return variables

    monkeypatch.setattr(names.Bench, "command", command)
    monkeypatch.setattr(names.Bench, "timed", lambda *_words: 1.0)
    bench = names.Bench("inventory/lab", "p0", tmp_path)
    asked.clear()
    bench.turn()
    files = {word for text in asked for word in text.replace(";", " ").split() if "systemd/network" in word}
    assert files == {"/etc/systemd/network/70-roce0.link", "/etc/systemd/network/70-enp12s0.link"}


@pytest.mark.parametrize(
    ("measured", "complaints"),
    [
        ({"hosts": 5, "executed": 80, "skipped": 20, "extra_items": 0}, 0),
        ({"hosts": 5, "executed": 81, "skipped": 20, "extra_items": 0}, 1),
        ({"hosts": 5, "executed": 81, "skipped": 21, "extra_items": 1}, 3),
        ({"hosts": 3, "executed": 1, "skipped": 0, "extra_items": 0}, 1),
    ],
)
def test_over_budget(bench: ModuleType, measured: dict[str, int], complaints: int) -> None:
    budget = {"5 hosts": {"executed": 80, "skipped": 20, "extra_items": 0}}
    assert len(bench.over_budget(measured, budget)) == complaints
