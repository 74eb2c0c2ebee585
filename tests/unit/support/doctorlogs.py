# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs for tests of the doctor: small clusters written line by line, and cases of the corpus told anew."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import tomllib

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, clock, diagnosis

CORPUS = Path(__file__).parents[1] / "plugins/module_utils/diagnose/corpus"
DAY = "2026-11-20"
_ISO = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)(?=[T ]\d\d:)")
_GLOG = re.compile(r"(?<![A-Za-z0-9])([IWEF])(\d\d)(\d\d)(?= \d\d:\d\d:\d\d\.)")


def arguments(**values: Any) -> str:
    """Return the line in which an engine tells its arguments."""
    given = {
        "model_path": "/opt/models/tiny",
        "host": "203.0.113.10",
        "port": 30000,
        "tp_size": 2,
        "nnodes": 1,
        "node_rank": 0,
        "page_size": 1,
        "kv_cache_dtype": "auto",
        "disaggregation_mode": "prefill",
        "disaggregation_transfer_backend": "mooncake",
        "disaggregation_bootstrap_port": 8998,
        "disaggregation_ib_device": None,
        "dist_init_addr": None,
        **values,
    }
    return "server_args=ServerArgs(" + ", ".join(f"{key}={value!r}" for key, value in given.items()) + ")"


def stamped(second: float, text: str, host: str = "", program: str = "python") -> str:
    """Return a line as journalctl -o short-iso shows it, or without a host as the engine writes it.

    :param second: since six o'clock.
    """
    moment = datetime.datetime(2026, 11, 20, 6, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=second)
    if host:
        return f"{moment:%Y-%m-%dT%H:%M:%S+0000} {host} {program}[7]: [{moment:%Y-%m-%d %H:%M:%S} TP0] {text}"
    return f"[{moment:%Y-%m-%d %H:%M:%S} TP0] {text}"


def write(folder: Path, **logs: list[str]) -> Path:
    """Write logs, by their names without suffix and with underscores for dashes; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in logs.items():
        (folder / f"{name.replace('_', '-')}.log").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def diagnosed(path: Path, loaded: catalogue.Catalogue) -> diagnosis.Diagnosis:
    """Return what the doctor says of a path."""
    return diagnosis.diagnose(str(path), loaded)


def ids(found: diagnosis.Diagnosis) -> list[str]:
    """Return the ids of findings above a note, in order."""
    return [finding.id for finding in found.findings if finding.severity != catalogue.NOTE]


def case(folder: Path) -> dict[str, Any]:
    """Return what is expected of a case of the corpus."""
    return tomllib.loads((folder / "case.toml").read_text(encoding="utf-8"))


def logs(folder: Path) -> list[Path]:
    """Return the logs of a case, without those of its variants."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != "case.toml")


def copied(folder: Path, target: Path) -> Path:
    """Copy the logs of a case."""
    target.mkdir(parents=True)
    for path in logs(folder):
        (target / path.name).write_bytes(path.read_bytes())
    return target


def retimed(folder: Path, target: Path, days: int) -> Path:
    """Copy the logs of a case as if it had happened some days later."""
    shift = datetime.timedelta(days=days)

    def iso(match: re.Match[str]) -> str:
        return f"{datetime.date(int(match[1]), int(match[2]), int(match[3])) + shift}"

    def glog(match: re.Match[str]) -> str:
        return f"{match[1]}{datetime.date(2026, int(match[2]), int(match[3])) + shift:%m%d}"

    target.mkdir(parents=True)
    for path in logs(folder):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        text = _GLOG.sub(glog, _ISO.sub(iso, text))
        (target / path.name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return target


def interleaved(folder: Path, target: Path) -> Path | None:
    """Write all plain logs of a case into one file, in the order of their times, as a collector of many hosts would.

    :returns: None where a log has no times or a line does not name its host, so that a collector could not have done it.
    """
    rows: list[tuple[float, int, int, str]] = []
    for order, path in enumerate(logs(folder)):
        last = None
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            stamp = clock.read(line)
            if stamp is None or not stamp.zoned:
                return None
            last = stamp.seconds
            rows.append((last, order, number, line))
    if len({row[1] for row in rows}) < 2:
        return None
    target.mkdir(parents=True)
    (target / "collected.log").write_text("\n".join(row[3] for row in sorted(rows)) + "\n", encoding="utf-8")
    return target
