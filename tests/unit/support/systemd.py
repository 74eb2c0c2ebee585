# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd's own programs as judges of what is written for systemd; nothing here needs a running systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

MANAGER = next((path for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if os.path.exists(path)), "")
GENERATORS = "systemd/user-environment-generators/30-systemd-environment-d-generator"
GENERATOR = next((f"{root}/{GENERATORS}" for root in ("/usr/lib", "/lib") if os.path.exists(f"{root}/{GENERATORS}")), "")
ANALYZE = shutil.which("systemd-analyze") or ""

needs_manager = pytest.mark.skipif(not MANAGER, reason="no systemd on this machine: install the package systemd")
needs_generator = pytest.mark.skipif(not GENERATOR, reason="no environment generator of systemd here: install the package systemd")
needs_analyze = pytest.mark.skipif(not ANALYZE, reason="no systemd-analyze on this machine: install the package systemd")


# How systemd prints words: in double quotes with escapes, or bare.
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^ \t]+)')
ESCAPE = re.compile(r"\\(.)")


def _unescape(match: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t"}.get(match.group(1), match.group(1))


def _words(text: str) -> list[str]:
    return [ESCAPE.sub(_unescape, quoted or bare) for quoted, bare in WORD.findall(text)]


def version() -> int:
    """Return the version of systemd-analyze, 0 without one."""
    if not ANALYZE:
        return 0
    text = subprocess.run([ANALYZE, "--version"], capture_output=True, text=True, check=True).stdout
    return int(text.split()[1])


def commands(units: dict[str, str], setting: str = "ExecStart") -> dict[str, list[list[str]]]:
    """Return the words of the commands of each unit's ExecStart, or of another such setting, as systemd has read them.

    The manager's test mode loads units and prints what it has understood. It refuses to run as root.
    """
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        wants = "".join(f"Wants={name}\n" for name in units)
        for name, text in {**units, "railyard-test.target": f"[Unit]\n{wants}"}.items():
            (Path(directory) / name).write_text(text, encoding="utf-8")
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*drop, MANAGER, "--test", "--system", "--unit=railyard-test.target", "--log-target=console"],
            env={"PATH": os.environ["PATH"], "HOME": "/", "SYSTEMD_UNIT_PATH": directory, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    found: dict[str, list[list[str]]] = {}
    unit = kind = ""
    for line in done.stdout.splitlines() + done.stderr.splitlines():
        heading = re.match(r"\s*(?:-> |\[ )?Unit (\S+):$", line.lstrip("\t"))
        if heading:
            unit = heading.group(1)
            if unit in units:
                found.setdefault(unit, [])
        setting_heading = re.match(r"\s*-> (Exec\w+):$", line)
        if setting_heading:
            kind = setting_heading.group(1)
        if "Command Line: " in line and unit in units and kind == setting:
            # A doubled dollar becomes one when systemd starts the program.
            found[unit].append([word.replace("$$", "$") for word in _words(line.split("Command Line: ", 1)[1])])
    assert set(found) == set(units), done.stdout[-2000:] + done.stderr[-2000:]
    return found


def environment(text: str) -> dict[str, str]:
    """Return the variables of an environment file as systemd reads it.

    The generator shares the parser of EnvironmentFile= but then expands dollars and refuses empty values: the text must have neither.
    Variables of this machine's own environment.d come along.
    """
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "environment.d" / "x.conf"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        env = {"XDG_CONFIG_HOME": directory, "HOME": directory, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        done = subprocess.run([GENERATOR], env=env, capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    rows = (line.partition("=") for line in done.stdout.split("\n"))
    return {name: "".join(_words(value)) for name, _equals, value in rows}
