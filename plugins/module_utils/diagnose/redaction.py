# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a log is nobody's business: what clients asked for and were answered, and secrets."""

from __future__ import annotations

import re

HIDDEN = "***"
# With --log-requests sglang writes requests and answers into its log; from here on a line is what a client or a model wrote.
# sglang 0.5.8 managers/tokenizer_manager.py and 0.5.23 utils/request_logger.py.
PAYLOAD = re.compile(
    r"\b(?:Receive|Finish)(?: OpenAI)?: obj="
    r"|[\"'](?:text|prompt|content|input_text|output_text)[\"']: ?[\"'](?=.)"
)
_QUOTED = r"'[^']*'|\"[^\"]*\""
_NAME = r"(?:[\w-]*(?:api[_-]?keys?|passw(?:or)?d|secret(?:[_-]?key)?|(?:hf|hub|auth|access|api|bearer|github)[_-]token)|HF_TOKEN)"
_RULES = (
    # An option or a variable by its name, an attribute of ServerArgs, a field of JSON.
    (re.compile(rf"(?i)(?<![\w-])(-{{0,2}}{_NAME}[\"']?(?: ?[=:] ?| +))(?!None\b|null\b)(?:{_QUOTED}|[^\s,;)&'\"]+)"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b((?:bearer|basic) +)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{HIDDEN}"),
    # What looks like a key of its maker: OpenAI's form, Hugging Face, GitHub, AWS, ModelScope.
    (re.compile(r"\b(?:sk-|hf_|ghp_|github_pat_|AKIA)[A-Za-z0-9_-]{8,}|\bms-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), HIDDEN),
    # Credentials within a URL.
    (re.compile(r"(://)[^/\s:@\"']{1,100}:[^/\s@\"']{1,200}@"), rf"\1{HIDDEN}@"),
)


def without_payload(line: str) -> str:
    """Return a line up to what a client or a model wrote in it: that a prompt speaks of an error is none."""
    found = PAYLOAD.search(line)
    return line if found is None else line[: found.end()]


def redacted(text: str) -> str:
    """Return a text without secrets."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
