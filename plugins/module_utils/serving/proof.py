# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the router has the planned workers, and whether tokens come out of it."""

from __future__ import annotations

from typing import Any, Dict, List

from ansible_collections.railyard.sglang.plugins.module_utils.serving.http import Answer


def chat(model: str, prompt: str, tokens: int) -> Dict[str, Any]:
    """Return a chat request that must produce exactly the given number of tokens."""
    return {
        "model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": tokens, "temperature": 0, "ignore_eos": True,
        "stream": False,
    }


def worker_problems(planned: List[Dict[str, Any]], answer: Answer) -> List[str]:
    """Return how the router's worker list differs from the plan (sglang-router 0.3.2, GET /workers)."""
    data = answer.json() if answer.status == 200 else None
    if not isinstance(data, dict) or not isinstance(data.get("workers"), list):
        return [f"/workers answered {answer.error or answer.status}"]
    listed = {row.get("url", ""): row for row in data["workers"]}
    found = []
    for worker in planned:
        row = listed.pop(worker["url"], None)
        name = f"{worker['role']} {worker['instance']} {worker['url']}"
        if row is None:
            found.append(f"{name} is not listed")
        elif row.get("worker_type") != worker["role"]:
            found.append(f"{name} is listed as {row.get('worker_type')}")
        elif not row.get("is_healthy"):
            found.append(f"{name} is not healthy")
    found += [f"{url} is listed, but not planned" for url in sorted(listed)]
    return found


def answer_problems(answer: Answer, model: str, tokens: int) -> List[str]:
    """Return what is wrong with a chat answer; health is not proof, counted tokens are."""
    data = answer.json()
    if answer.status != 200 or not isinstance(data, dict):
        return [f"the chat answered {answer.status or answer.error}: {answer.text[:500]}"]
    found = []
    counted = (data.get("usage") or {}).get("completion_tokens")
    if counted != tokens:
        found.append(f"{counted} tokens came back, {tokens} were asked for (one token: prefill and decode may be swapped)")
    if data.get("model") != model:
        found.append(f"the answer names model {data.get('model')!r}, planned is {model!r}")
    choices = data.get("choices") or []
    if not choices or not (choices[0].get("message") or {}).get("content"):
        found.append("the answer has no text")
    elif choices[0].get("finish_reason") != "length":
        found.append(f"finish_reason is {choices[0].get('finish_reason')!r}, expected 'length'")
    return found


def content(answer: Answer) -> str:
    """Return the text of a chat answer that has no problems."""
    return str(answer.json()["choices"][0]["message"]["content"])
