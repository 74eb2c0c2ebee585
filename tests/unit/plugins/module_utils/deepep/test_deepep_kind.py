# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kind of a host: every part of it changes the key, and architectures follow the GPUs."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import kind, recipe
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import Gpu, HostFacts
from ansible_collections.railyard.sglang.tests.unit.support import kernelkit

OWN = kind.Kind("r", False, True, ("9.0",), "12.9.86", "2.9.1", ".cpython-312.so", "3.3.20", "/opt/nvshmem", "rhel-9", "2.34", "x86_64")
SOURCE = recipe.Archive("d", "o", "0" * 64)
RECIPE = recipe.Deepep("1.2.1", "deep-ep", SOURCE, (), "a.cu", {"9.0": "12.3", "10.0": "12.8", "10.3": "12.9"}, (), "2.5.1", SOURCE)


@pytest.mark.parametrize("name", [row.name for row in fields(kind.Kind)])
def test_every_part_changes_the_key(name: str) -> None:
    value = getattr(OWN, name)
    other = not value if isinstance(value, bool) else (*value, "10.0") if isinstance(value, tuple) else value + "1"
    assert replace(OWN, **{name: other}).key != OWN.key
    assert replace(OWN).key == OWN.key


def gpus(*architectures: str | None) -> HostFacts:
    return HostFacts("x86_64", "rhel-9", "RHEL 9", gpus=tuple(Gpu("nvidia", name) for name in architectures))


CAPABILITIES = [
    (gpus(*["9.0"] * 8), [], ("9.0",)),
    (gpus(*["10.0"] * 8), [], ("10.0",)),
    (gpus("10.3", "9.0", None), [], ("9.0", "10.3")),
    (gpus(*["9.0"] * 8), ["10.0", "9.0"], ("9.0", "10.0")),
    (gpus(), ["9.0"], ("9.0",)),
]
REFUSED = [
    (gpus(), [], "this host has no NVIDIA GPU on its PCI buses"),
    (gpus(None), [], "its GPUs are of chips that are not known here"),
    (gpus("8.0"), [], "it has no kernels for 8.0 (Ampere): 9.0, 10.0, 10.3 only"),
    (gpus("9.0"), ["12.0"], "it has no kernels for 12.0 (Blackwell)"),
]


@pytest.mark.parametrize(("facts", "written", "found"), CAPABILITIES)
def test_architectures(facts: HostFacts, written: list[str], found: tuple[str, ...]) -> None:
    assert kind.capabilities(facts, RECIPE, written, "DeepEP") == found


@pytest.mark.parametrize(("facts", "written", "problem"), REFUSED)
def test_architectures_that_it_has_no_kernels_for(facts: HostFacts, written: list[str], problem: str) -> None:
    with pytest.raises(StackError) as caught:
        kind.capabilities(facts, RECIPE, written, "DeepEP")
    assert problem in str(caught.value)


def test_an_environment_says_what_it_has_without_loading_it(tmp_path: Path) -> None:
    python = kernelkit.stack(tmp_path / "stack", torch="2.9.1")
    found = kind.environment_of(str(python), "test")
    assert (found.torch, found.nvshmem, found.setuptools, found.ninja) == ("2.9.1", "3.3.20", "82.0.0", "1.13.0")
    assert found.nvshmem_home == str(tmp_path / "stack/site/nvidia/nvshmem")
    assert found.include == (str(tmp_path / "stack/site/nvidia/cublas/include"),)
    with pytest.raises(StackError, match=r"does not answer.*run the stage stack first"):
        kind.environment_of(str(tmp_path / "none"), "test")


def test_only_what_reaches_the_result_is_in_the_id_of_a_recipe(tmp_path: Path) -> None:
    data = kernelkit.sources(tmp_path)
    assert kind.recipe_id({**data, "evidence": "x", "os": ["make"]}) == kind.recipe_id(data)
    assert kind.recipe_id({**data, "version": "2"}) != kind.recipe_id(data)
    assert os.path.exists(tmp_path / "deepep.tar.gz")
