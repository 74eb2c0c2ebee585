# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import (
    Bind,
    HostRecord,
    Paths,
    Record,
    default_cache,
    difference,
    load_record,
    make_directories,
    networks_of_labs,
    parse_record,
    register_entry,
    write_atomically,
)

P0 = HostRecord("p0", "prefill", "198.51.100.10", "203.0.113.10", 900, (Bind("/cache/wheels", "/srv/wheels"),))
R0 = HostRecord("r0", "router", "198.51.100.210", "203.0.113.210")
RECORD = Record("lab", "0a1b2c3d", "boot", "abc", 0, "198.51.100.0/24", "203.0.113.0/24", (P0, R0))


def test_record_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "lab.json"
    write_atomically(path, RECORD.to_json(), 0o640)
    assert load_record(path) == RECORD
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["lab.json"]


def test_no_record(tmp_path: Path) -> None:
    assert load_record(tmp_path / "none/lab.json") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"version": 1}',
        RECORD.to_json()[:-20],
        json.dumps({**json.loads(RECORD.to_json()), "version": 2}),
        json.dumps({**json.loads(RECORD.to_json()), "unknown": 2}),
        json.dumps({**json.loads(RECORD.to_json()), "hosts": [{}]}),
    ],
)
def test_damaged_record_names_file_and_cure(text: str) -> None:
    with pytest.raises(LabError, match=r"/c/lab/lab/lab.json is not a lab's record .*lab_down.yml"):
        parse_record(text, Path("/c/lab/lab/lab.json"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (RECORD, []),
        (replace(RECORD, instance="x", image="other", boot_id="later", owner=7), []),
        (replace(RECORD, hosts=(replace(P0, memory_mb=1), R0)), []),
        (replace(RECORD, fabric_network="192.0.2.0/24"), ["fabric_network is 203.0.113.0/24, asked 192.0.2.0/24"]),
        (replace(RECORD, hosts=(P0,)), ["hosts are p0 r0, asked p0"]),
        (replace(RECORD, backend="qemu"), ["backend is nspawn, asked qemu"]),
        (replace(RECORD, distribution="rhel_like"), ["distribution is debian, asked rhel_like"]),
        (replace(RECORD, hosts=(replace(P0, binds=()), R0)), ["p0: binds differs"]),
        (
            replace(RECORD, hosts=(P0, replace(R0, management_address="198.51.100.9", group="x"))),
            ["r0: group differs", "r0: management_address differs"],
        ),
    ],
)
def test_difference(asked: Record, told: list[str]) -> None:
    assert difference(RECORD, asked) == told


@pytest.mark.parametrize(
    ("environ", "cache"),
    [
        ({"RAILYARD_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/c"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/railyard-sglang"),
        ({"RAILYARD_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/railyard-sglang"),
    ],
)
def test_default_cache(environ: dict[str, str], cache: str) -> None:
    assert default_cache(environ) == Path(cache)


def test_names_of_a_lab() -> None:
    paths = Paths(Path("/c"), "ci")
    assert (paths.switch_namespace, paths.host_namespace("p0")) == ("railyard-ci", "railyard-ci-p0")
    assert paths.host("p0") == Path("/c/lab/ci/hosts/p0")


def test_socket_names_fit_for_the_longest_lab_name() -> None:
    # ssh binds <path>.<16 characters> and renames that; Ansible's part has 10 characters; the limit is 108 bytes.
    paths = Paths(Path("/very" * 40), "abcdefghijklmnop")
    assert len(str(paths.control / "0123456789")) + 17 < 108


def test_other_labs_networks_are_taken_whatever_their_cache(tmp_path: Path) -> None:
    for name, cache in (("lab", "/one"), ("ci", "/two")):
        paths = Paths(Path(cache), name, tmp_path)
        paths.registered.mkdir()
        (paths.registered / "lab.json").write_text(register_entry(paths, replace(RECORD, name=name)))
    (tmp_path / "half").mkdir()
    (tmp_path / "half/lab.json").write_text("{")
    found = networks_of_labs(tmp_path, except_for="lab")
    assert [str(each.network) for each in found] == ["198.51.100.0/24", "203.0.113.0/24"]
    assert "lab 'ci' (management_network, /two/lab/ci)" in found[0].user


def test_directories_are_made_once_and_for_their_owner(tmp_path: Path) -> None:
    for _attempt in range(2):
        make_directories(tmp_path / "cache/lab", os.getuid())
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("cache", "cache/lab")] == [0o755, 0o755]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_directories_that_root_makes_are_the_owners(tmp_path: Path) -> None:
    make_directories(tmp_path / "cache/lab", 65534)
    assert [(tmp_path / name).stat().st_uid for name in ("", "cache", "cache/lab")] == [os.getuid(), 65534, 65534]
