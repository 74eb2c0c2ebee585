# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor's task: options as they are documented, what fails it, what confirms a finding; and the module that writes journals."""

from __future__ import annotations

import gzip
import io
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.action import doctor
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, confirming, diagnosis, page, standing
from ansible_collections.railyard.sglang.plugins.module_utils.onhost import journalcopy
from ansible_collections.railyard.sglang.plugins.modules import doctor as doctor_module
from ansible_collections.railyard.sglang.tests.unit.support.doctorlogs import arguments, stamped, write

ROOT = Path(__file__).resolve().parents[4]
KNOWN = ("type", "elements", "default", "choices", "required")


@pytest.fixture(name="document")
def make_document(tmp_path: Path) -> dict[str, Any]:
    lines = [stamped(0, arguments(host="198.51.100.10", dist_init_addr="203.0.113.10:5000"), "p0")]
    return diagnosis.document(diagnosis.diagnose(str(write(tmp_path, prefill=lines)), catalogue.load()))


def test_options_are_documented_as_they_are() -> None:
    documented: dict[str, dict[str, Any]] = yaml.safe_load(doctor_module.DOCUMENTATION)["options"]
    assert {name: {key: row[key] for key in KNOWN if key in row} for name, row in documented.items()} == doctor.SPEC


def test_documentation_names_every_variable_of_the_playbook_and_every_field(document: dict[str, Any]) -> None:
    text = (ROOT / "docs/doctor.md").read_text(encoding="utf-8")
    playbook = (ROOT / "playbooks/doctor.yml").read_text(encoding="utf-8")
    variables = set(re.findall(r"\b(doctor_[a-z_]+) \| default", playbook))
    assert variables >= {"doctor_path", "doctor_directory", "doctor_since", "doctor_fail_on"}
    assert [name for name in sorted(variables) if f"| `{name}` |" not in text] == []
    fields = {*document, *document["findings"][0], *document["findings"][0]["places"][0], "confirmed"}
    assert [name for name in sorted(fields) if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("verdict", "fail_on", "fails"),
    [
        ("blocks", "blocks", True),
        ("blocks", "degrades", True),
        ("blocks", "never", False),
        ("degrades", "blocks", False),
        ("degrades", "degrades", True),
        ("clean", "degrades", False),
    ],
)
def test_what_fails_the_task(document: dict[str, Any], verdict: str, fail_on: str, fails: bool) -> None:
    why = doctor.failure({**document, "verdict": verdict}, fail_on)
    assert bool(why) == fails
    if fails:
        assert why.startswith("L01: ")
        assert "p0" in why
        assert "Fix: " in why


def test_rules_of_the_probe_confirm_a_finding(document: dict[str, Any]) -> None:
    rule = "networks.bootstrap-unreachable"
    findings = [
        {"rule": rule, "severity": "error", "host": "p0", "text": "apart"},
        {"rule": rule, "severity": "error", "host": "p7", "text": "elsewhere"},
        {"rule": "port.twice", "severity": "error", "host": "p0", "text": "another"},
    ]
    checks = {"p0": [{"rule": rule, "state": "ok", "text": ""}], "p7": [{"rule": rule, "state": "error", "text": "elsewhere"}]}
    confirming.confirm(document, findings, checks)
    assert [(row["host"], row["state"], row["text"]) for row in document["findings"][0]["confirmed"]] == [
        ("p0", "error", "apart"),
        ("p0", "ok", ""),
    ]
    assert f"Checked: {rule} on p0: error, apart" in page.text(document)


def test_calls_of_journalctl() -> None:
    units, kernel = journalcopy.commands(["a.service", "b.service"], "-1h", 50)
    assert units[-2:] == ["--unit=a.service", "--unit=b.service"]
    # One more than is kept, to know whether there are more.
    assert "--lines=51" in units
    assert "--lines=6" in kernel
    # --dmesg implies --boot: what the kernel said before a reboot would be missing.
    assert kernel[-1] == "_TRANSPORT=kernel"
    assert not {"--dmesg", "-k", "--boot", "-b"} & set(kernel)
    assert "--since=-1h" in units
    assert "--since=-1h" in kernel


@pytest.mark.parametrize(("lines", "cut"), [(0, False), (2, True), (3, False)])
def test_more_messages_than_are_kept_are_told(tmp_path: Path, lines: int, cut: bool) -> None:
    text = entry(1) + entry(2) + entry(3)
    assert journalcopy.copy(printed(tmp_path, text), 1 << 20, 20, lines).cut == cut


def entry(number: int, text: str = "a") -> str:
    """Return one entry of an export, a second after the one before."""
    return f"__CURSOR={number}\n__REALTIME_TIMESTAMP={number * 1_000_000}\nMESSAGE={text}\n\n"


def written(copied: journalcopy.Copied) -> bytes:
    """Return what a copy writes, unpacked."""
    raw = io.BytesIO()
    copied.write(raw)
    return gzip.decompress(raw.getvalue())


def printed(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "export").write_text(text, encoding="utf-8")
    return ["cat", str(tmp_path / "export")]


def test_what_is_written_is_counted(tmp_path: Path) -> None:
    text = entry(1) + entry(2)
    copied = journalcopy.copy(printed(tmp_path, text), 1 << 20, 20)
    assert written(copied) == text.encode()
    assert (copied.size, copied.entries, copied.cut, copied.told) == (len(text), 2, False, "")
    assert copied.first() == 1_000_000


def test_of_too_much_the_newest_is_kept(tmp_path: Path) -> None:
    text = "".join(entry(number, "x" * 1000) for number in range(1, 6001))
    copied = journalcopy.copy(printed(tmp_path, text), 3 << 20, 20)
    data = written(copied).decode()
    assert copied.cut
    assert copied.size == len(data) <= 3 << 20
    assert text.endswith(data)
    assert data.startswith("__CURSOR=")
    assert copied.entries == data.count("__CURSOR=")
    first = copied.first()
    assert first is not None
    assert data.startswith(f"__CURSOR={first // 1_000_000}\n")


def test_entries_without_end_are_cut() -> None:
    copied = journalcopy.copy(["sh", "-c", "yes | head -c 30000000"], 9 << 20, 20)
    assert (copied.cut, copied.told) == (True, "")
    assert len(written(copied)) == copied.size <= 9 << 20


def test_what_takes_too_long_is_cut_off() -> None:
    copied = journalcopy.copy(["sh", "-c", "exec sleep 60"], 1 << 20, 1)
    assert (copied.cut, copied.told) == (True, "")


def test_a_failure_is_told() -> None:
    told = journalcopy.copy(["sh", "-c", "echo no journal >&2; exit 3"], 1 << 20, 20)
    assert (told.size, told.entries, told.cut, told.told) == (0, 0, False, "no journal")
    assert journalcopy.copy(["sh", "-c", "exit 3"], 1 << 20, 20).told == "exit status 3"


@pytest.mark.parametrize(("before", "count"), [(None, 50), (31_000_000, 30), (1, 0)])
def test_the_beginning_of_a_unit_is_kept_up_to_what_is_there(tmp_path: Path, before: int | None, count: int) -> None:
    text = "".join(entry(number) for number in range(1, 51))
    head = journalcopy.head(printed(tmp_path, text), before, 20)
    assert written(head).decode() == "".join(entry(number) for number in range(1, count + 1))
    assert head.entries == count


def test_the_beginning_of_a_unit_is_bounded() -> None:
    script = "i=1; while :; do printf '__CURSOR=%d\\n__REALTIME_TIMESTAMP=%d\\nMESSAGE=a\\n\\n' $i $i; i=$((i+1)); done"
    head = journalcopy.head(["sh", "-c", script], None, 20)
    assert head.entries == journalcopy.HEAD_ENTRIES
    assert not head.told


def test_states_of_units() -> None:
    text = (
        "Id=sglang-prefill-0.service\nLoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nNRestarts=7\n"
        "ExecMainStatus=1\nInvocationID=0a1b\n\nId=sglang-router.service\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n"
    )
    rows = journalcopy.parse_states(text)
    assert [(row["Id"], row["ActiveState"], row.get("InvocationID", "")) for row in rows] == [
        ("sglang-prefill-0.service", "activating", "0a1b"),
        ("sglang-router.service", "inactive", ""),
    ]
    assert "InvocationID" in journalcopy.show_command(["a.service"])[2]
    journals = {"gpu-a": {"hostname": "p0", "units": rows, "cut": True}, "gpu-b": {}}
    found = standing.standing(journals, ["gpu-c"])
    assert [(item.id, item.origin.host) for item in found] == [("L55", "gpu-c"), ("L54", "gpu-a"), ("L53", "gpu-a")]
    halted = {"Id": "sglang-decode-0.service", "ActiveState": "active", "Halted": "python3 (pid 7)"}
    assert [(item.id, item.groups) for item in standing.standing({"gpu-d": {"units": [halted]}})] == [
        ("L58", {"unit": "sglang-decode-0.service", "value": "python3 (pid 7)"})
    ]
    assert standing.names(journals) == {"p0": "gpu-a"}
    away = {"gpu-c": {"unreachable": True, "msg": "no route"}, "gpu-d": {"entries": 0, "cut": False}, "gpu-e": {"entries": 5, "cut": False}}
    rows = standing.not_read({**journals, **away}, {"gpu-e": "Fetch it: no space left on device"}, ["gpu-c"])
    assert [row["file"] for row in rows] == ["gpu-a", "gpu-b", "gpu-d", "gpu-e"]
    for row, why in zip(rows, ("older messages", "was not looked at", "holds no message", "Fetch it: no space"), strict=True):
        assert why in row["why"]


def test_a_unit_that_does_not_run_is_a_finding_and_hosts_have_the_name_of_the_inventory(tmp_path: Path) -> None:
    failed = {"Id": "sglang-prefill-0.service", "LoadState": "loaded", "ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}
    journals = {"gpu-a": {"hostname": "p0", "units": [{**failed, "NRestarts": "5", "ExecMainStatus": "1"}]}}
    crash = ["Scheduler hit an exception: Traceback (most recent call last):", "OSError: [Errno 28] No space left on device"]
    lines = [stamped(number, text, "p0") for number, text in enumerate([arguments(), *crash])]
    found = diagnosis.diagnose(
        str(write(tmp_path, prefill=lines)),
        catalogue.load(),
        standing=standing.standing(journals, ["gpu-c"]),
        names=standing.names(journals),
    )
    document = diagnosis.document(found)
    counting = [row for row in document["findings"] if row["severity"] != "note"]
    assert [(row["id"], row["host"], row["follows_from"]) for row in counting] == [
        ("L29", "gpu-a", ""),
        ("L24", "gpu-a", "L29"),
        ("L54", "gpu-a", "L29"),
        ("L55", "gpu-c", ""),
    ]
    text = page.text(document)
    assert "started again 5 times" in text
    assert "gpu-c" in text
    rule = "preflight.shm"
    confirming.confirm(document, [], {"gpu-a": [{"rule": rule, "state": "error", "text": "full"}]})
    assert [row["host"] for row in counting[0]["confirmed"]] == ["gpu-a"]


def test_units_that_run_are_none(tmp_path: Path) -> None:
    running = {"Id": "sglang-prefill-0.service", "LoadState": "loaded", "ActiveState": "active", "SubState": "running", "NRestarts": "5"}
    assert standing.standing({"gpu-a": {"units": [running, {**running, "ActiveState": "activating", "SubState": "start-pre"}]}}) == []
