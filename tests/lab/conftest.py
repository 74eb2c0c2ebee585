# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters on labs, each converged once for all the tests that use it, and machines. One lab of these is up at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kvkit import Transfers, planned
from labkit import Lab, Labs
from nickit import GENERATIONS, NicLab, able_to_build
from qemukit import HOSTS, QemuLab, able

# Tests that need no cluster come first, then those on the large one, those on the small one, and those on virtual machines.
ORDER = ("cluster", "pair", "wide", "machines", "nics")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add an option for those who write tests."""
    parser.addoption("--keep-labs", action="store_true", help="leave the last lab up, and use one that is up")


def pytest_configure(config: pytest.Config) -> None:
    """Find the ansible-playbook of the environment that runs the tests."""
    here = str(Path(sys.executable).parent)
    if here not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = here + os.pathsep + os.environ["PATH"]


def _place(item: pytest.Item) -> int:
    wanted = getattr(item, "fixturenames", ())
    return next((1 + index for index, name in enumerate(ORDER) if name in wanted), 0)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests by lab; within a lab they keep the order of their files."""
    items.sort(key=_place)


@pytest.fixture(scope="session")
def labs(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Labs]:
    """Return the keeper of labs, which leaves none behind."""
    keeper = Labs(tmp_path_factory, request.config.getoption("--keep-labs"))
    yield keeper
    if not keeper.keep:
        keeper.take_down()


@pytest.fixture(scope="session")
def cluster(labs: Labs) -> Lab:
    """Return a converged cluster of two prefill hosts (one instance), two decode hosts (one instance) and a router."""
    return labs.converged("testcluster", "2p2d")


@pytest.fixture(scope="session")
def pair(labs: Labs) -> Lab:
    """Return a converged cluster of one prefill host, one decode host and a router, tensor parallel size 1."""
    return labs.converged("testpair", "1p1d")


@pytest.fixture(scope="session")
def wide(labs: Labs) -> Lab:
    """Return a converged cluster of two prefill and two decode instances of two hosts each, and a router."""
    return labs.converged("testwide", "4p4d")


@pytest.fixture(scope="session")
def machines(labs: Labs, tmp_path_factory: pytest.TempPathFactory) -> QemuLab:
    """Return two virtual machines, p0 and d0, with eight rails of soft-RoCE; nothing is installed on them."""
    able()
    lab = QemuLab("testmachines", tmp_path_factory.mktemp("testmachines"))
    labs.started(lab)
    return lab


@pytest.fixture(scope="module")
def ranks(machines: QemuLab) -> dict[str, dict[str, Any]]:
    """Return the planned rank of each of these machines."""
    return planned(machines)


@pytest.fixture(scope="module")
def transfers(machines: QemuLab, ranks: dict[str, dict[str, Any]]) -> Iterator[Transfers]:
    """Return the machines with what moves bytes between them; afterwards it is gone."""
    both = Transfers(machines)
    try:
        for host in HOSTS:
            both.install(host, ranks[host])
        yield both
    finally:
        for host in HOSTS:
            both.remove(host)


@pytest.fixture(scope="session", params=["bookworm", pytest.param("trixie", marks=pytest.mark.full)])
def nics(labs: Labs, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> NicLab:
    """Return one virtual machine of a generation, p0, whose interfaces get other names."""
    able_to_build(GENERATIONS[request.param])
    lab = NicLab(GENERATIONS[request.param], tmp_path_factory.mktemp("nics"))
    labs.started(lab)
    return lab


@pytest.fixture
def host(nics: NicLab) -> NicLab:
    """Return that machine as it was installed."""
    nics.fresh()
    return nics


@pytest.fixture(scope="session")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Return a lab that is never started: its inventory can be planned, its hosts do not answer."""
    return Lab("nowhere", "2p2d", tmp_path_factory.mktemp("nowhere"))
