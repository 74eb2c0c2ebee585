# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not be in any file of the repository, and what must be in all of a kind."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

# The lines are looked at one by one; a number of four parts behind "==", or in the name of an archive, is a package's version.
FORBIDDEN = {
    "private IPv4 address": re.compile(
        r"(?<![\d.=])(?:10\.\d{1,3}\.\d{1,3}\.\d{1,3}|172\.(?:1[6-9]|2\d|3[01])\.\d{1,3}\.\d{1,3}|192\.168\.\d{1,3}\.\d{1,3})(?![\d.]*\d|-archive\.)"
    ),
    "private IPv6 address": re.compile(r"(?<![\w:])f[cd][0-9a-f]{2}:(?:[0-9a-f]{1,4}:|:)+[0-9a-f]*", re.I),
    "registry host": re.compile(
        r"\b(?:docker\.io|quay\.io|ghcr\.io|nvcr\.io|gcr\.io|pkg\.dev|public\.ecr\.aws|mcr\.microsoft\.com|\w+\.azurecr\.io"
        r"|\w+\.dkr\.ecr\.|\w+\.aliyuncs\.com|registry\.[\w-]+(?:\.[\w-]+)*\.(?:com|io|net|org|cn|lan|local|internal))\b",
        re.I,
    ),
    "path of one machine": re.compile(
        r"/(?:home|Users)/[a-z]|(?<![\w.}>$-])/wor[k]/|\.\./shared\b|\.py[e]nv\b|(?<!\w)\.lib[r]ary\b"
    ),
    "silenced finding": re.compile(r"#\s*(?:no[q]a|no[s]ec|pylint:\s*dis[a]ble|type:\s*ig[n]ore)\b", re.I),
    "ignored error": re.compile(r"^\s*-?\s*ignore_[e]rrors\s*:", re.I),
}
BINARY = {".gz", ".png", ".jpg", ".safetensors", ".whl", ".zst"}
SPDX = "SPDX-License-Identifier: GPL-3.0-or-later"
GENERATED = {"changelogs/changelog.yaml"}


def repository_files() -> list[str]:
    """Return the paths of all files that git knows or would take, relative to the repository root."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted({path for path in listed.split("\0") if path and (ROOT / path).is_file()})


FILES = repository_files()
TEXTS = [path for path in FILES if Path(path).suffix not in BINARY]


def forbidden(text: str) -> list[str]:
    """Return `line number: kind: what` for everything in a text that no file may hold."""
    return [
        f"{number}: {kind}: {match.group(0)}"
        for number, line in enumerate(text.splitlines(), 1)
        for kind, pattern in FORBIDDEN.items()
        for match in pattern.finditer(line)
    ]


class Loader(yaml.SafeLoader):
    """YAML with the tags of Ansible, whose values are of no interest here."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def test_git_lists_the_files() -> None:
    assert "galaxy.yml" in FILES
    assert "tests/unit/test_hygiene.py" in FILES


def test_nothing_forbidden() -> None:
    found = [f"{path}:{hit}" for path in TEXTS for hit in forbidden((ROOT / path).read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("address: 10." + "0.0.5", "private IPv4 address"),
        ("172." + "16.3.4/24", "private IPv4 address"),
        ("see 192." + "168.1.1.", "private IPv4 address"),
        ("fd00" + ":1::2", "private IPv6 address"),
        ("image: ghcr" + ".io/x/y", "registry host"),
        ("registry" + ".example.com/x", "registry host"),
        ("path: /ho" + "me/ann/x", "path of one machine"),
        ("cat /wo" + "rk/x", "path of one machine"),
        ("x = 1  # no" + "qa: E501", "silenced finding"),
        ("  ignore_" + "errors: true", "ignored error"),
    ],
)
def test_the_forbidden_is_seen(line: str, kind: str) -> None:
    assert [found.split(": ")[1] for found in forbidden(f"fine\n{line}\n")] == [kind]


@pytest.mark.parametrize(
    "line",
    ["nvidia-curand-cu12==10.3.9.90", "192.0.2.1 198.51.100.7", "2001:db8::1", "lab/x/work/y", "110.10.10.10"],
)
def test_the_allowed_is_left_alone(line: str) -> None:
    assert forbidden(line) == []


def test_data_files_parse() -> None:
    broken = []
    for path in TEXTS:
        text = (ROOT / path).read_text(encoding="utf-8")
        try:
            if path.endswith(".json"):
                json.loads(text)
            elif path.endswith((".yml", ".yaml")):
                list(yaml.load_all(text, Loader))
        except (ValueError, yaml.YAMLError) as error:
            broken.append(f"{path}: {error}")
    assert not broken, "\n".join(broken)


def test_licence_header() -> None:
    bare = []
    for path in TEXTS:
        if path.endswith((".py", ".sh", ".yml", ".yaml")) and path not in GENERATED:
            head = (ROOT / path).read_text(encoding="utf-8").splitlines()[:6]
            if head and not any(SPDX in line for line in head):
                bare.append(path)
    assert not bare, "no licence line in:\n" + "\n".join(bare)


def test_roles_are_complete() -> None:
    roles = {path.split("/")[1] for path in FILES if path.startswith("roles/")}
    needed = ("README.md", "meta/argument_specs.yml", "meta/main.yml", "tasks/main.yml")
    paths = [f"roles/{role}/{name}" for role in sorted(roles) for name in needed]
    missing = [path for path in paths if path not in FILES]
    assert not missing, "missing:\n" + "\n".join(missing)
