# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text that systemd reads: quoting rules of units and of environment files (systemd.service(5), systemd.exec(5), version 252)."""

from __future__ import annotations

from collections.abc import Iterable


def word(text: str) -> str:
    """Return one word of an ExecStart line: specifiers and variables are not expanded, blanks do not split it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    escaped = escaped.replace("\n", "\\n").replace("\t", "\\t")
    plain = escaped == text and text and not set(text) & set(" ';#") and text not in (";", "|")
    return escaped if plain else f'"{escaped}"'


def command(words: Iterable[str]) -> str:
    """Return an ExecStart line's command, one option with its values per line."""
    lines: list[str] = []
    for text in map(str, words):
        if not lines or text.startswith("--"):
            lines.append(word(text))
        else:
            lines[-1] += " " + word(text)
    return " \\\n  ".join(lines)


def environment_value(text: str) -> str:
    """Return a value as an environment file holds it, in double quotes.

    :raises ValueError: the value has a line break, which such a file cannot hold.
    """
    if "\n" in text or "\0" in text:
        raise ValueError(f"{text!r} has a line break, which an environment file cannot hold")
    for special in ("\\", '"', "`", "$"):
        text = text.replace(special, "\\" + special)
    return f'"{text}"'
