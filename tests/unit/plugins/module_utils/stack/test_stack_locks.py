# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks: what is read, what is refused, and that the shipped ones are wholly pinned and hashed."""

from __future__ import annotations

import re

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition, read_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import parse_lock
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import FILES

DIGEST = "a" * 64
STACKS = sorted(path.parent.name for path in FILES.glob("*/requirements.txt"))


def test_lock_is_read() -> None:
    text = f"# head\nB.b_c==1.0+cpu \\\n    --hash=sha256:{DIGEST} \\\n    --hash=sha256:{'b' * 64}  # why\n\nd==2 --hash=sha256:{DIGEST}\n"
    pins = parse_lock(text, "stack x", 2)
    assert {name: (pin.version, len(pin.hashes)) for name, pin in pins.items()} == {"b-b-c": ("1.0+cpu", 2), "d": ("2", 1)}
    assert parse_lock("".join(pin.line() + "\n" for pin in pins.values()), "again") == pins


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a>=1 --hash=sha256:" + DIGEST, "line 1 .*does not pin one version", id="range"),
        pytest.param("a --hash=sha256:" + DIGEST, "does not pin one version", id="no version"),
        pytest.param("https://example.org/a.whl", "does not pin one version", id="address"),
        pytest.param("-r other.txt", "does not pin one version", id="option"),
        pytest.param("# x\n\na==1", "line 3 .*a has no --hash", id="no hash"),
        pytest.param("a==1 --hash=sha256:abc", "is not --hash=sha256", id="digest cut off"),
        pytest.param("a==1 --hash=md5:" + "a" * 32, "is not --hash=sha256", id="other digest"),
        pytest.param(f"a==1 \\\n  --hash=sha256:{DIGEST} \\", "is not --hash=sha256", id="cut within a package"),
        pytest.param(f"a==1 --hash=sha256:{DIGEST}\nA==2 --hash=sha256:{DIGEST}", "pinned twice", id="twice"),
        pytest.param(f"a==1 --hash=sha256:{DIGEST}", "holds 1 packages .*says 2: it is cut off", id="cut at a line's end"),
        pytest.param("", "holds 0 packages", id="empty"),
    ],
)
def test_malformed_lock_is_named(text: str, expected: str) -> None:
    with pytest.raises(StackError, match=expected) as caught:
        parse_lock(text, "stack x", 2)
    assert str(caught.value).startswith("stack x: ")
    assert "Fix: restore the lock file" in str(caught.value)


@pytest.mark.parametrize("name", STACKS)
def test_shipped_stack_is_wholly_pinned_and_hashed(name: str) -> None:
    data = read_definition(FILES / name, FILES / "installer.txt", yaml.safe_load)
    definition = parse_definition(data)
    assert definition.name == name
    wanted = dict(re.findall(r"^([^#\s=]+)==(\S+)$", (FILES / name / "packages.in").read_text(encoding="utf-8"), re.M))
    assert definition.packages() == wanted
    lines = [line for line in data["lock"].splitlines() if "==" in line]
    assert len(lines) == len(wanted) == data["lock"].count("==")
    assert all(pin.hashes for pin in definition.pins.values())
    assert definition.installer["uv"].hashes


@pytest.mark.parametrize("name", STACKS)
def test_every_cut_of_a_shipped_lock_is_seen(name: str) -> None:
    data = read_definition(FILES / name, FILES / "installer.txt", yaml.safe_load)
    lines = data["lock"].splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if "==" in line)
    for length in range(last + 1):
        with pytest.raises(StackError, match="lock"):
            parse_definition({**data, "lock": "".join(lines[:length])})
