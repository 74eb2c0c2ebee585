# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tensor parallel size 1: what prefill and decode answer together is what a plain server answers. And stacks installed locally."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from labkit import Lab, wait_until

pytestmark = pytest.mark.lab

PORT = 30100
PROMPTS = {
    "short": list(range(3, 11)),
    "one token": [42],
    "repeated": [7, 8] * 40,
    "long": [3 + (17 * index * index + 5 * index) % 300 for index in range(1500)],
}


@pytest.fixture(name="plain", scope="module")
def plain_server(pair: Lab) -> Iterator[str]:
    """A server without disaggregation on decode's host: the same environment, model and sizes."""
    rank = pair.rank("decode-0", 0)
    host = rank["host"]
    own = ("disaggregation", "port", "nccl-port")
    words = list(rank["argv"][4:])
    for place in reversed(range(len(words))):
        if words[place].startswith("--") and words[place][2:].startswith(own):
            del words[place : place + 2]
    lines = [f"{name}: {json.dumps(value)}\n" for name, value in rank["arguments"].items() if not name.startswith(own)]
    pair.ssh(host, "install -m 0644 /dev/stdin /run/plain.yaml", stdin="".join(lines))
    server = ["python", "-m", "sglang.launch_server", "--config", "/run/plain.yaml", *words, "--port", str(PORT)]
    pair.ssh(host, "systemd-run --quiet --unit plain " + shlex.join(["sglang-env", "decode-0", "--", *server]))
    url = f"http://{rank['address']}:{PORT}"
    wait_until(lambda: pair.request("/health", url=url, host=host, timeout=25)["status"] == 200, 180, "the plain server")
    yield url
    pair.ssh(host, "systemctl stop plain; systemctl reset-failed plain 2>/dev/null; pkill -u sglang -f -- '--port 30100' || true")


def _tokens(lab: Lab, url: str, prompt: list[int], count: int) -> list[int]:
    body = {"input_ids": prompt, "sampling_params": {"temperature": 0, "max_new_tokens": count, "ignore_eos": True}}
    answer = lab.request("/generate", body, url=url, timeout=120)
    assert answer["status"] == 200, answer
    data: Any = json.loads(answer["text"])
    data = data[0] if isinstance(data, list) else data
    assert data["meta_info"]["completion_tokens"] == count
    return list(data["output_ids"])


@pytest.mark.parametrize("name", PROMPTS)
def test_prefill_and_decode_answer_like_a_plain_server(name: str, pair: Lab, plain: str) -> None:
    count = 48
    together = _tokens(pair, pair.router["url"], PROMPTS[name], count)
    assert together == _tokens(pair, plain, PROMPTS[name], count)
    assert len(together) == count
