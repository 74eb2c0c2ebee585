# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts that the proof sends."""

from __future__ import annotations

import random
from typing import Dict, List, Mapping

# Letters of several scripts in two, three and four bytes of UTF-8.
UTF8 = "Grüße aus Zürich: 你好, мир, नमस्ते, 🚄🌍. Say it again."
THINGS = ("harbour", "garden", "railway", "library", "market", "river", "workshop", "mountain")
MARGIN = 32
# Sources of models whose words are random by design.
RANDOM = ("tiny",)
# Greedy continuations of models that the collection makes itself, by their source and the prompt. The first words of them are enough.
# The tiny model's is of the real 0.5.8 on CPUs; its third token is nearly as likely as another one.
KNOWN: Dict[str, Dict[str, List[str]]] = {"tiny": {"Say hello.": ["e<|reserved_53|>"]}}


def unlike(prompt: str) -> str:
    """Return a prompt that no cache has, as long as its like."""
    return f"[{random.SystemRandom().randrange(16**8):08x}] {prompt}"


def sentence(number: int) -> str:
    """Return one of many sentences."""
    return f"In place {number} there is a {THINGS[number % len(THINGS)]} with {(number * 37) % 89} doors. "


def long(characters: int) -> str:
    """Return a text of so many characters."""
    found, size, number = [], 0, 0
    while size < characters:
        found.append(sentence(number))
        size += len(found[-1])
        number += 1
    return "".join(found)[:characters]


def long_tokens(info: Mapping[str, object], most: int, answer: int) -> Dict[str, int]:
    """Return how long a prompt must be to be cut into chunks, and how long it may be.

    :param info: what a prefill instance says of itself.
    :param most: what the operator allows.
    :param answer: tokens of the answer.
    :return: C(tokens) to aim at, C(chunk), the size of a chunk (0: it does not cut prompts), and C(room), what the engine lets in.
    """
    chunk = info.get("chunked_prefill_size")
    rooms = [info.get("max_req_input_len"), info.get("context_length"), info.get("max_total_num_tokens")]
    room = min([value - answer - MARGIN for value in rooms if isinstance(value, int) and value > 0], default=most)
    size = chunk if isinstance(chunk, int) and chunk > 0 else 0
    wanted = size + size // 2 if size else room
    return {"tokens": max(1, min(wanted, room, most)), "chunk": size, "room": room}
