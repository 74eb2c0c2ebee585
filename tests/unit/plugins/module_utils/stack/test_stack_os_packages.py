# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of the operating system: what is missing on which system, and what a run does about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import Outcome, apply
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition, read_needs
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import lacking
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import parse_needs
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import (
    Missing,
    Present,
    missing,
    name_of,
    parse_table,
    python_packages,
)
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import FILES, Tiny

TABLE = parse_table(yaml.safe_load((FILES / "os_packages.yml").read_text(encoding="utf-8")))
SYSTEMS = ("rhel-8", "rhel-9", "rhel-10", "ubuntu-22.04", "ubuntu-24.04", "debian-12", "debian-13")
NOTHING = Present(lambda soname: False, lambda path: False)
GPU = parse_needs(read_needs(FILES / "sglang-0.5.8-cu12", yaml.safe_load))
RHEL = ["gcc-c++", "libcurl", "libgomp", "libibverbs", "numactl-libs", "perftest", "rdma-core"]
DEB = ["g++", "ibverbs-providers", "libgomp1", "libibverbs1", "libnuma1", "perftest", "rdma-core"]


@pytest.mark.parametrize(
    ("system", "python", "expected"),
    [
        ("rhel-8", "3.12", [*RHEL, "python3.12-devel"]),
        ("rhel-9", "3.11", [*RHEL, "python3.11-devel"]),
        ("rhel-10", "3.12", [*RHEL, "python3-devel"]),
        ("ubuntu-22.04", "3.10", [*DEB, "libcurl4", "python3.10-dev"]),
        ("ubuntu-24.04", "3.12", [*DEB, "libcurl4t64", "python3.12-dev"]),
        ("debian-12", "3.11", [*DEB, "libcurl4", "python3.11-dev"]),
        ("debian-13", "3.13", [*DEB, "libcurl4t64", "python3.13-dev"]),
    ],
)
def test_a_bare_host(system: str, python: str, expected: list[str]) -> None:
    rows = missing(TABLE, GPU.features, system, python, NOTHING)
    assert sorted({row.package for row in rows}) == sorted(expected)


def test_only_what_is_missing() -> None:
    present = Present(lambda soname: soname != "libnuma.so.1", lambda path: path != "/usr/include/python3.12/Python.h")
    assert missing(TABLE, GPU.features, "debian-12", "3.12", present) == [
        Missing("libnuma.so.1", "libnuma1"),
        Missing("/usr/include/python3.12/Python.h", "python3.12-dev"),
    ]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_every_package(system: str) -> None:
    rows = missing(TABLE, TABLE.features, system, "3.12", NOTHING)
    assert len(rows) == len(TABLE.features)
    assert [row for row in rows if not row.package] == []
    assert python_packages(TABLE, TABLE.pythons, system)


def test_unknown_systems_have_none() -> None:
    assert name_of(TABLE, "libcurl.so.4", "sles-15") == ""
    assert python_packages(TABLE, ("3.12", "3.11"), "debian-12") == {"3.11": "python3.11"}
    with pytest.raises(StackError, match="a stack names weather, which is not in it"):
        missing(TABLE, ["weather"], "rhel-9", "3.12", NOTHING)


@pytest.mark.parametrize(
    "row",
    [{"packages": {"rhel": "x"}}, {"library": "a", "file": "/b", "packages": {}}, {"library": "a", "packages": ["x"]}, {"library": "a"}],
)
def test_bad_rows_are_named(row: dict[str, Any]) -> None:
    with pytest.raises(StackError, match=r"table of operating system packages: .*mine"):
        parse_table({"features": {"mine": row}})


def test_names_of_libraries_are_those_of_the_release(tiny: Tiny, tmp_path: Path) -> None:
    curl = {"soname": "libcurl.so.4", "deb": "libcurl4", "rpm": "libcurl"}
    definition = parse_definition(tiny.changed(libraries=[curl]))
    for release, package in (('ID=ubuntu\nVERSION_ID="24.04"', "libcurl4t64"), ('ID=linuxmint\nID_LIKE="ubuntu debian"', "libcurl4")):
        (tmp_path / "etc").mkdir(exist_ok=True)
        (tmp_path / "etc/os-release").write_text(release, encoding="utf-8")
        assert lacking(definition, TABLE, "3.12", lambda soname: False, tmp_path) == [Missing("libcurl.so.4", package)]


def run(tiny: Tiny, options: dict[str, Any], **keys: Any) -> Outcome:
    return apply([parse_definition(tiny.changed(**keys))], tiny.options(**options), os.uname().machine)


def test_packages_left_to_the_operator(tiny: Tiny) -> None:
    keys = {"libraries": [{"soname": "librailyard-none.so.7", "deb": "libnone7", "rpm": "libnone7"}]}
    for more in ({"defer": True}, {"check": True}, {"defer": True, "check": True}):
        with pytest.raises(StackError, match=r"this host lacks librailyard-none.so.7\. Fix: install libnone7"):
            run(tiny, {"installs": False, **more}, **keys)
    assert run(tiny, {"installs": False, "check": True}).changed is True


def test_a_python_that_can_be_installed_is_waited_for(tiny: Tiny) -> None:
    table = parse_table({"pythons": {"3.99": {"debian": "python3.99"}}})
    options = {"table": table, "system": "debian-12", "python": ""}
    outcome = run(tiny, {**options, "defer": True}, python=["3.99"])
    assert (outcome.deferred, outcome.lacks) == (["tiny-stack needs python3.99"], [Missing("python3.99", "python3.99")])
    assert run(tiny, {**options, "check": True}, python=["3.99"]).stacks["tiny-stack"]["python"] == "3.99.0"
    with pytest.raises(StackError, match=r"this host lacks python3\.99\. Fix: install python3\.99"):
        run(tiny, options, python=["3.99"])
    with pytest.raises(StackError, match=r"it needs Python 3\.99 and found none"):
        run(tiny, {**options, "system": "rhel-9", "defer": True}, python=["3.99"])
    assert not tiny.root.exists()
