# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor on a bundle: what it says of replaced logs is what it says of the logs themselves, in other names.

The corpus of the doctor is told as a host's journal would hold it, packed, and read out of the archive.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.bundle import pack
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.replacing import Replacing
from ansible_collections.railyard.sglang.plugins.module_utils.bundle.secrets import Secrets
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, clock, diagnosis, origin
from ansible_collections.railyard.sglang.tests.unit.support import doctorlogs

FOLDERS = sorted(path for path in doctorlogs.CORPUS.iterdir() if (path / "case.toml").exists())
CASES = [(folder, variant) for folder in FOLDERS for variant in [None, *sorted(folder.glob("variant-*"))]]
MADE = 1795000000.0
# What differs in an address that everybody knows, in two networks, in names of roles, in a link-local GID; and some of the others.
PLAIN = [place for place in CASES if place[0].name in ("no-default-route", "two-networks", "nccl-link-local-gid", "healthy-notes")]
PLAIN += [place for place in CASES[::9] if place not in PLAIN]
OTHERS = [place for place in CASES if place not in PLAIN]


@pytest.fixture(scope="module")
def loaded() -> catalogue.Catalogue:
    return catalogue.load()


# Values of findings that are names or addresses as the logs have them; shorter ones are none.
NAMED, SHORTEST = ("host", "dist_init", "peer", "url", "room"), 7


def label(place: tuple[Path, Path | None] | Path | None) -> str:
    """Return what a case is called."""
    return place.name if isinstance(place, Path) else "itself"


def journal(lines: list[str]) -> bytes:
    """Return lines of a system's log as the journal would export them, every third message as a field that is no plain text."""
    entries = []
    seconds = 1772438400.0
    for number, text in enumerate(lines):
        parts = origin.take_apart(text)
        stamp = clock.read(text)
        seconds = stamp.seconds if stamp is not None and stamp.dated and stamp.zoned else seconds
        message = (parts.text if parts.host else text).encode("utf-8", "surrogateescape")
        fields = [
            f"__CURSOR=s=0123456789abcdef0123456789abcdef;i={number:x};b=fedcba9876543210fedcba9876543210;m=1;t=2;x=3".encode(),
            f"__REALTIME_TIMESTAMP={int(seconds * 1e6)}".encode(),
            b"_BOOT_ID=fedcba9876543210fedcba9876543210",
            *([b"_TRANSPORT=kernel"] if parts.program == "kernel" else []),
            *([f"_HOSTNAME={parts.host}".encode()] if parts.host else []),
            *([f"SYSLOG_IDENTIFIER={parts.program}".encode()] if parts.program else []),
        ]
        if number % 3 == 0:
            fields.append(b"MESSAGE\n" + struct.pack("<Q", len(message)) + message)
        else:
            fields.append(b"MESSAGE=" + message)
        entries.append(b"\n".join(fields) + b"\n\n")
    return b"".join(entries)


def told_as_journals(source: Path, target: Path) -> Path:
    """Write the logs of a case as exports, one for each of its logs."""
    (target / "logs").mkdir(parents=True)
    for path in doctorlogs.logs(source):
        lines = path.read_bytes().decode("utf-8", "surrogateescape").splitlines()
        with gzip.open(target / "logs" / f"{path.name.removesuffix('.log')}.export.gz", "wb") as stream:
            stream.write(journal(lines))
    return target


def copied(source: Path, target: Path) -> Path:
    """Copy the logs of a case to where a bundle has them."""
    (target / "logs").mkdir(parents=True)
    for path in doctorlogs.logs(source):
        (target / "logs" / path.name).write_bytes(path.read_bytes())
    return target


def hosts_of(document: dict[str, Any]) -> list[str]:
    """Return the hosts that the doctor knows of."""
    found = [row["host"] for row in document["logs"]]
    found += [place["host"] for finding in document["findings"] for place in finding["places"]]
    return sorted({host for host in found if host})


def told(document: dict[str, Any], change: Callable[[str], str]) -> list[Any]:
    """Return what the doctor says, in other names, without those of files."""
    return [
        (
            finding["id"], finding["severity"], finding["note"], finding["follows_from"], finding["relation"], finding["consequences"],
            {name: change(finding["values"][name]) for name in NAMED if len(finding["values"].get(name, "")) >= SHORTEST},
            change(finding["host"]), finding["guilty"]["side"], change(finding["guilty"]["host"]), finding["first"],
            sorted(
                (change(place["host"]), place["process"], place["count"], place["first"], place["last"]) for place in finding["places"]
            ),
        )
        for finding in document["findings"]
    ]


def compared(raw: Path, tmp_path: Path, loaded: catalogue.Catalogue) -> tuple[dict[str, Any], dict[str, Any], pack.Packer]:
    """Pack logs, and return what the doctor says of them and of the bundle."""
    before = diagnosis.document(doctorlogs.diagnosed(raw, loaded))
    packer = pack.Packer(Secrets(), Replacing(hosts_of(before)))
    items = [pack.readme(), *pack.files_below(str(raw)), pack.json_item("plan/plan.json", {"text": "RuntimeError: CUDA error"})]
    packer.learn(items, "")
    packed = packer.write(items, {"made": ""}, str(tmp_path / "bundle.tar.gz"), MADE)
    assert packed.problems == {}
    return before, diagnosis.document(doctorlogs.diagnosed(tmp_path / "bundle.tar.gz", loaded)), packer


def check(raw: Path, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    """Assert that nothing but names differs."""
    before, after, packer = compared(raw, tmp_path, loaded)
    assert told(before, packer.text) == told(after, str)
    assert [row["id"] for row in before["findings"]] == [row["id"] for row in after["findings"]]
    assert before["verdict"] == after["verdict"]
    assert len(before["logs"]) == len(after["logs"])
    assert set(hosts_of(after)) == {packer.text(host) for host in hosts_of(before)}
    names = {"p0", "p1", "d0", "d1", "r0"} & set(hosts_of(before))
    assert not names & set(hosts_of(after))


@pytest.mark.parametrize(("folder", "variant"), PLAIN, ids=label)
def test_logs_as_they_are(folder: Path, variant: Path | None, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    check(copied(variant or folder, tmp_path / "raw"), loaded, tmp_path)


@pytest.mark.parametrize(("folder", "variant"), PLAIN, ids=label)
def test_logs_as_journals(folder: Path, variant: Path | None, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    check(told_as_journals(variant or folder, tmp_path / "raw"), loaded, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize(("folder", "variant"), OTHERS, ids=label)
def test_all_other_logs_as_they_are(folder: Path, variant: Path | None, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    check(copied(variant or folder, tmp_path / "raw"), loaded, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize(("folder", "variant"), OTHERS, ids=label)
def test_all_other_logs_as_journals(folder: Path, variant: Path | None, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    check(told_as_journals(variant or folder, tmp_path / "raw"), loaded, tmp_path)
