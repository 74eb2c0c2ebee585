# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import journal
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.files import Image
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.journal import Journal, Port
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import Device
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.situation import Situation

ONE = Journal(
    id="c0ffee",
    boot="b",
    seconds=180,
    ports=[Port(3, "02:00:5e:00:53:10", "0000:0c:00.0", "enp12s0", "roce0", ("old0",), 1500, 9000)],
    files={
        "/etc/a": Image(b"\x00\xff", 0o600, 1, 2, 10**18, b"system_u:object_r:etc_t:s0\x00"),
        "/etc/b": Image(),
        "/etc/c": Image(b"", 0o644),
    },
    made=["/etc/x"],
    rdma={"0200:5eff:fe00:5310": {"before": "mlx5_0", "after": "mlx5_rail0"}},
    situation=Situation(addresses={"enp12s0": ["192.0.2.1/24"]}, devices={"enp12s0": Device("connected", "11")}),
)


@pytest.fixture(name="directory", autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "state" / "names"
    monkeypatch.setattr(journal, "DIRECTORY", str(directory))
    monkeypatch.setattr(journal, "PENDING", str(directory / "pending"))
    monkeypatch.setattr(journal, "UNDONE", str(directory / "undone.log"))
    monkeypatch.setattr(journal, "CONFIRMED", str(tmp_path / "confirmed"))
    return directory


def test_what_is_begun_is_read_again(directory: Path) -> None:
    assert (journal.load(), journal.phase()) == (None, "")
    journal.begin(ONE)
    assert journal.load() == ONE
    assert journal.phase() == journal.ARMED
    assert directory.joinpath("pending").stat().st_mode & 0o777 == 0o700
    assert ONE.names == {"enp12s0": "roce0"}
    assert ONE.rdma_names("before") == {"0200:5eff:fe00:5310": "mlx5_0"}


def test_there_is_one_at_a_time() -> None:
    journal.begin(ONE)
    with pytest.raises(OSError, match="not empty"):
        journal.begin(ONE)


def test_phases_and_the_end(directory: Path) -> None:
    journal.begin(ONE)
    journal.reach(journal.APPLIED)
    journal.note("something")
    assert journal.phase() == journal.APPLIED
    journal.end()
    assert (journal.load(), os.listdir(directory)) == (None, [])
    journal.end()


def test_what_an_undone_one_did_is_kept_until_the_next_one_holds(directory: Path) -> None:
    journal.begin(ONE)
    journal.note("renamed")
    journal.end(undone=True)
    lines = (directory / "undone.log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["renamed", "undone c0ffee"]
    assert (directory / "undone.log").stat().st_mode & 0o777 == 0o600
    assert journal.undone() == "c0ffee"
    journal.begin(ONE)
    journal.end()
    assert os.listdir(directory) == []


def test_a_cut_before_the_rename_leaves_none(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_names: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", cut)
        with pytest.raises(KeyboardInterrupt):
            journal.begin(ONE)
    assert journal.load() is None
    journal.begin(ONE)
    assert journal.load() == ONE


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("journal.json", ""),
        ("journal.json", "[]"),
        ("journal.json", '{"version": 99}'),
        ("journal.json", '{"version": 1, "files": {}}'),
        ("0", None),
    ],
)
def test_one_that_cannot_be_read_is_an_error(directory: Path, name: str, text: str | None) -> None:
    journal.begin(ONE)
    path = directory / "pending" / name
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(journal.JournalError, match="pending"):
        journal.load()


def test_doubts_and_attempts_are_remembered() -> None:
    journal.begin(ONE)
    assert (journal.doubts(), journal.tried()) == (set(), 1)
    assert (journal.doubts(["b", "a"]), journal.tried()) == ({"a", "b"}, 2)
    assert (journal.doubts(["c"]), journal.doubts()) == ({"a", "b", "c"}, {"a", "b", "c"})
    journal.end()
    journal.begin(ONE)
    assert (journal.doubts(), journal.tried()) == (set(), 1)


def test_the_last_confirmed_one_is_known() -> None:
    assert journal.confirmed() == ""
    journal.confirm("c0ffee")
    assert journal.confirmed() == "c0ffee"
