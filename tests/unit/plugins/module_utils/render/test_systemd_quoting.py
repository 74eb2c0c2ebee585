# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and values as systemd reads them back."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.render import systemd
from ansible_collections.railyard.sglang.tests.unit.support.systemd import commands, environment, needs_generator, needs_manager

HARD = [
    "",
    "plain",
    "a b",
    " a",
    "a ",
    '"',
    "'",
    "it's",
    'say "x"',
    "\\",
    "a\\",
    "\\n",
    "\\x41",
    "%h",
    "100%",
    "$HOME",
    "${HOME}",
    "$",
    "$$",
    "a;b",
    ";",
    "#x",
    "x#y",
    "|",
    "&&",
    ">",
    "*",
    "~",
    "0|1",
    "é",
    "😀",
    '{"a":"b c","d":[1,"$x"]}',
    "-x",
    "--x=y z",
    "@",
    "!",
    "a\tb",
    "a\nb",
    "=eth0",
    ":",
]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("a b", '"a b"'),
        ("a$b", '"a$$b"'),
        ("50%", '"50%%"'),
        ('"', '"\\""'),
        ("\\", '"\\\\"'),
        ("a\nb", '"a\\nb"'),
        ("'", '"\'"'),
        (";", '";"'),
        ("x=y", "x=y"),
        ("é", "é"),
    ],
)
def test_word(text: str, quoted: str) -> None:
    assert systemd.word(text) == quoted


def test_one_option_per_line() -> None:
    words = ["/bin/x", "-m", "a.b", "--one", "1", "2", "--two", "--three", "x y"]
    assert systemd.command(words) == '/bin/x -m a.b \\\n  --one 1 2 \\\n  --two \\\n  --three "x y"'


@needs_manager
def test_systemd_reads_the_words_back() -> None:
    words = ["/bin/true", *(part for text in HARD for part in ("--x", text))]
    unit = f"[Service]\nExecStart={systemd.command(words)}\n"
    assert commands({"railyard-words.service": unit})["railyard-words.service"] == [words]


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("", '""'),
        ("a b", '"a b"'),
        ("$x", '"\\$x"'),
        ('"', '"\\""'),
        ("\\", '"\\\\"'),
        ("`", '"\\`"'),
        ("%h", '"%h"'),
        ("#", '"#"'),
        ("'", '"\'"'),
    ],
)
def test_environment_value(text: str, quoted: str) -> None:
    assert systemd.environment_value(text) == quoted


@pytest.mark.parametrize("text", ["a\nb", "\n", "a\0"])
def test_what_an_environment_file_cannot_hold(text: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        systemd.environment_value(text)


@needs_generator
def test_systemd_reads_the_values_back() -> None:
    values = {f"V{index}": text for index, text in enumerate(HARD) if text and not set("\n$") & set(text)}
    text = "".join(f"# why\n{name}={systemd.environment_value(value)}\n" for name, value in values.items())
    assert values.items() <= environment(text).items()


@needs_generator
@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(
    values=st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="$"), min_size=1), max_size=20)
)
def test_systemd_reads_any_values_back(values: list[str]) -> None:
    wanted = {f"V{index}": value for index, value in enumerate(values)}
    text = "".join(f"{name}={systemd.environment_value(value)}\n" for name, value in wanted.items())
    assert wanted.items() <= environment(text).items()
