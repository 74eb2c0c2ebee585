# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of former names."""

from __future__ import annotations

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import record
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import card, mac


def test_there_and_back() -> None:
    kept = {"version": 1, "nics": {mac(0): record.port(card(0, "ens0"), "roce0", 3, None)}, "files": {}, "removed": {}}
    assert record.load(record.dump(kept)) == kept
    assert record.load(None) == {}
    assert (record.by_rail(kept), record.back(kept)) == ({3: mac(0)}, {"roce0": "ens0"})
    assert (record.by_rail({}), record.back({}), record.nics({}), record.files({}), record.removed({})) == ({}, {}, {}, {}, {})


def test_a_second_entry_keeps_what_was_before_the_first() -> None:
    first = {**record.port(card(0, "ens0"), "roce0", 3, None), "mtu": 1500, "rdma": "mlx5_0"}
    second = record.port(card(0, "roce0", mtu=9000), "rail0", None, first)
    assert second == {**first, "name": "rail0"}
    assert record.absent_port(second).identity == card(0, "x").identity


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"1", b"null", b'{"version": 2}', b'{"version": 1}', b'{"version": 1, "nics": [], "files": {}, "removed": {}}'],
)
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(record.RecordError, match=r"record\.json holds no record.*Fix: restore it"):
        record.load(content)


def test_a_file_is_known_again() -> None:
    entry = {"sha256": record.digest(b"one"), "content": record.packed(b"\xff\0")}
    assert record.untouched(entry, b"one")
    assert not record.untouched(entry, b"two")
    assert not record.untouched(None, b"one")
    assert record.content(entry) == b"\xff\0"
