# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths in arguments and variables: what is a path, what is the beginning of one, and what is another one."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import paths

PLACES = {"/opt/sglang/s": "/store/s-01", "/opt/sglang/deepep/s": "/store/d-02", "/etc/sglang/p-0": "/run/p-0.files"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/opt/sglang/s/bin/python", "/store/s-01/bin/python"),
        ("/opt/sglang/s", "/store/s-01"),
        ("/opt/sglang/s2/bin", "/opt/sglang/s2/bin"),
        ("/opt/sglang/s-2", "/opt/sglang/s-2"),
        ("/opt/sglang/s.old/x", "/opt/sglang/s.old/x"),
        ("/mnt/opt/sglang/s", "/mnt/opt/sglang/s"),
        ("/opt/sglang/deepep/s:/opt/sglang/s/lib:/x", "/store/d-02:/store/s-01/lib:/x"),
        ("--x=/etc/sglang/p-0/a.json", "--x=/run/p-0.files/a.json"),
        ('{"a": "/etc/sglang/p-0/a.json"}', '{"a": "/run/p-0.files/a.json"}'),
        ("", ""),
        (["/opt/sglang/s", 3, None], ["/store/s-01", 3, None]),
        ({"PYTHONPATH": "/opt/sglang/deepep/s", "n": 1.5}, {"PYTHONPATH": "/store/d-02", "n": 1.5}),
    ],
)
def test_moved(text: Any, found: Any) -> None:
    assert paths.moved(text, PLACES) == found
    assert paths.moved(text, {}) == text


def test_what_stands_for_files() -> None:
    def rows(directory: str, second: str = "2") -> list[dict[str, str]]:
        return [{"path": f"{directory}/a.json", "sha256": "1"}, {"path": f"{directory}/moe/b.json", "sha256": second}]

    found = paths.contents(rows("/etc/sglang/p-0"), "/etc/sglang/p-0")
    assert set(found) == {"/etc/sglang/p-0", "/etc/sglang/p-0/a.json", "/etc/sglang/p-0/moe", "/etc/sglang/p-0/moe/b.json"}
    assert found["/etc/sglang/p-0/a.json"] == "sha256:1"
    # The same files of another instance are the same, one that differs is not.
    assert list(paths.contents(rows("/etc/sglang/p-1"), "/etc/sglang/p-1").values()) == list(found.values())
    other = paths.contents(rows("/etc/sglang/p-0", "3"), "/etc/sglang/p-0")
    assert other["/etc/sglang/p-0"] != found["/etc/sglang/p-0"]
    assert other["/etc/sglang/p-0/moe"] != found["/etc/sglang/p-0/moe"]
    assert paths.contents([], "/etc/sglang/p-0") == {}
