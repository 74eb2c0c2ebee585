# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module serving_proof against stand-ins of router and engines that answer in the form of the real ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible.module_utils.urls import open_url

from ansible_collections.railyard.sglang.plugins.module_utils.serving import expect, proof
from ansible_collections.railyard.sglang.plugins.module_utils.serving.prove import Prover, Settings
from ansible_collections.railyard.sglang.plugins.modules import serving_proof
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster
from ansible_collections.railyard.sglang.tests.unit.support.engines import CHAT, WORDS, Engines, engines, information
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

PLAN = cluster().plan()
ROUTER = PLAN["routers"][0]
STEPS = ["router", "workers", "pairs", "chat", "stream", "long prompt", "UTF-8", "concurrency", "answer"]


@pytest.fixture(name="three")
def serve() -> Iterator[Engines]:
    with engines() as three:
        yield three


def prove(three: Engines, **more: Any) -> dict[str, Any]:
    expected = {row["instance"]: row["expected"] for row in expect.workers(PLAN, ROUTER)}
    workers = [{**row, "expected": expected[row["instance"]]} for row in three.workers]
    router = {**ROUTER, "url": three.router.url, "workers": three.workers}
    arguments = {"router": router, "workers": workers, "tokens": 8, "timeout": 0, "answer_timeout": 30, "rounds": 1, "judge_tokens": 24}
    return run(serving_proof.main, {**arguments, **more})


def states(result: dict[str, Any]) -> dict[str, str]:
    return {row["step"]: row["state"] for row in result["steps"]}


def test_all_of_it(three: Engines) -> None:
    result = prove(three)
    assert "failed" not in result, result
    assert (result["changed"], result["answer"], result["tokens"]) == (False, "".join(WORDS[:8]), 8)
    assert states(result) == dict.fromkeys(STEPS, "proven")
    assert all(row["evidence"] for row in result["steps"])
    (pair,) = result["pairs"]
    assert (pair["pair"], pair["tokens"], pair["problems"]) == ("prefill-0 > decode-0", 8, [])
    assert pair["first_seconds"] > 0
    # Each pinned request went to both, with one room, and with the address of the prefill instance.
    rooms = [body["bootstrap_room"] for body in three.prefill.chats]
    assert sorted(rooms) == sorted(body["bootstrap_room"] for body in three.decode.chats)
    assert len(set(rooms)) == len(rooms)
    assert {(body["bootstrap_host"], body["bootstrap_port"]) for body in three.decode.chats} == {("127.0.0.1", 8998)}
    assert all("bootstrap_room" not in body for body in three.router.chats)
    assert result["sent"]["prefill-0"] == result["sent"]["decode-0"] > 96, "the long prompt is longer than a chunk of 64"
    assert result["workers"]["decode-0"]["page_size"] == 1


WORKER = "http://203.0.113.11:30000"


def listed(three: Engines, *changes: dict[str, Any]) -> None:
    rows = [{**row, **change} for row, change in zip(three.router.usual["/workers"][1]["workers"], changes)]
    rows += list(changes[2:])
    three.router.fault.paths["/workers"] = (200, {"workers": rows})


def says(three: Engines, side: str, **change: Any) -> None:
    getattr(three, side).fault.paths["/server_info"] = (200, {**information(side), **change})


FAULTS: dict[str, tuple[Callable[[Engines], Any], str, str]] = {
    "not ready": (lambda three: three.router.fault.paths.update({"/readiness": (503, b"")}), "router", "/readiness answered 503"),
    "rank 1 listed": (lambda three: listed(three, {"url": WORKER}, {}), "router", f"{WORKER} is listed, but not planned"),
    "swapped": (
        lambda three: listed(three, {"worker_type": "decode"}, {"worker_type": "prefill"}),
        "router",
        "prefill prefill-0 URL is listed as decode",
    ),
    "other port": (lambda three: listed(three, {"bootstrap_port": 8999}, {}), "router", "listed with bootstrap port 8999, planned is 8998"),
    "unknown model": (
        lambda three: three.router.fault.paths.update({"/v1/models": (200, {"data": [{"id": "unknown"}]})}),
        "router",
        "names unknown, planned is tiny",
    ),
    "no API": (
        lambda three: three.decode.fault.paths.update({"/server_info": (404, {"detail": "Not Found"})}),
        "workers",
        "it is a rank above 0",
    ),
    "unhealthy": (lambda three: three.decode.fault.paths.update({"/health": (503, b"")}), "workers", "/health answered 503"),
    "role": (lambda three: says(three, "prefill", disaggregation_mode="decode"), "workers", "role is decode, planned is prefill"),
    "version": (lambda three: says(three, "decode", version="0.5.23"), "workers", "version is 0.5.23, planned is 0.5.8"),
    "page size": (lambda three: says(three, "decode", page_size=64), "workers", "page size differs: 1 on prefill-0; 64 on decode-0"),
    "KV dtype": (lambda three: says(three, "decode", kv_cache_dtype="fp8_e4m3"), "workers", "KV dtype differs"),
    "bootstrap port": (
        lambda three: says(three, "decode", disaggregation_bootstrap_port=8999),
        "workers",
        "bootstrap port is 8999, planned is 8998",
    ),
    "one token": (lambda three: three.decode.fault.chat.update(tokens=1), "pairs", "1 tokens came back, 8 were asked for (one token"),
    "decode 500": (lambda three: three.decode.fault.paths.update({CHAT: (500, {"message": "KVTransferError"})}), "pairs", "answered 500"),
    "prefill 400": (lambda three: three.prefill.fault.paths.update({CHAT: (400, {"message": "no"})}), "pairs", "the prefill instance: 400"),
    "decode hangs": (lambda three: three.decode.fault.paths.update({CHAT: (0, None)}), "pairs", "no answer: timed out"),
    "router garbles": (lambda three: three.router.fault.chat.update(words=("x", "y")), "chat", "other words than the pairs'"),
    "router's model": (lambda three: three.router.fault.chat.update(model="other"), "chat", "names model 'other'"),
    "router 503": (lambda three: three.router.fault.paths.update({CHAT: (503, {"message": "no"})}), "concurrency", "answered 503"),
    "router hangs": (lambda three: three.router.fault.paths.update({CHAT: (0, None)}), "chat", "no answer: "),
    "no [DONE]": (lambda three: three.router.fault.chat.update(done=False), "stream", "ended without [DONE]"),
    "prompt changed": (lambda three: three.router.fault.chat.update(prompt_tokens=3), "UTF-8", "it changes the text"),
    "aborted": (lambda three: three.router.fault.chat.update(finish="abort"), "concurrency", "finish_reason is 'abort'"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_its_step(name: str, three: Engines) -> None:
    make, step, words = FAULTS[name]
    make(three)
    result = prove(three, **({"answer_timeout": 1} if name in ("decode hangs", "router hangs") else {}))
    assert result["failed"]
    words = words.replace("URL", three.prefill.url)
    assert any(text.startswith(f"{step}: ") and words in text for text in result["problems"]), result["problems"]
    assert states(result)[step] == "failed"
    after = [states(result)[name] for name in STEPS[STEPS.index(step) + 1 :]]
    if step in STEPS[:3] or name == "router hangs":
        assert set(after) == {"not tried"}, "what would hang was asked all the same"
    assert "The cluster does not serve through r0" in result["msg"]
    assert "Fix: journalctl -u sglang-router.service on r0" in result["msg"]


@pytest.mark.parametrize(("health", "told"), [(200, True), (503, False)])
def test_a_router_that_leaves_out_who_answers_is_not_waited_for(
    health: int, told: bool, three: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that loads still is, until the time is over."""
    monkeypatch.setattr(proof, "LIST_MARGIN", 1.0)
    monkeypatch.setattr(proof, "LEAST_SECONDS", 0)
    three.router.fault.paths["/workers"] = (200, {"workers": []})
    three.decode.fault.paths["/health"] = (health, b"")
    argv = ["--worker-startup-check-interval", "0"]
    began = time.monotonic()
    result = prove(three, router={**ROUTER, "url": three.router.url, "workers": three.workers, "argv": argv}, timeout=120 if told else 4)
    assert result["failed"]
    assert any("the router has given up on it" in text for text in result["problems"]) == told
    assert (time.monotonic() - began >= 4) != told


def test_a_worker_that_answers_late_has_its_time_from_then_on(three: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "patience", lambda _argv: 2.0)
    usual = three.router.usual["/workers"]
    three.router.fault.paths["/workers"] = (200, {"workers": []})
    three.decode.fault.paths["/health"] = (503, b"")

    def up() -> None:
        del three.decode.fault.paths["/health"]

    def listed_again() -> None:
        three.router.fault.paths["/workers"] = usual

    timers = [threading.Timer(3, up), threading.Timer(4, listed_again)]
    for timer in timers:
        timer.start()
    result = prove(three, timeout=60)
    for timer in timers:
        timer.join()
    assert "failed" not in result, result["problems"]


def test_consistent_garbage_is_no_answer(three: Engines) -> None:
    for part in (three.router, three.decode):
        part.fault.chat.update(words=("\ufffd", "\x01", "%", "\ufffd", "^"))
    result = prove(three)
    assert [row["step"] for row in result["steps"] if row["state"] == "failed"] == ["answer"]
    assert any("characters are in no text" in text for text in result["problems"])
    assert "failed" not in prove(three, known={"Say hello.": "\ufffd\x01%"}), "a known continuation is judged by nothing else"
    assert "known is" in " ".join(prove(three, known={"Say hello.": ["Hello"]})["problems"])


def test_words_that_are_random_by_design_must_be_the_same(three: Engines) -> None:
    for part in (three.router, three.decode):
        part.fault.chat.update(words=("\ufffd", "\x01", "%"))
    assert states(prove(three, random_words=True)) == dict.fromkeys(STEPS, "proven")
    three.router.fault.chat.update(words=("\ufffd", "\x02", "%"))
    assert "failed" in states(prove(three, random_words=True))["chat"]


def test_improbable_words_are_no_answer(three: Engines) -> None:
    for part in (three.router, three.decode):
        part.fault.chat.update(logprob=-9.0)
    assert any("mean log-probability of its tokens is -9.00" in text for text in prove(three)["problems"])
    assert "failed" not in prove(three, limits={"logprob": -10})


@pytest.mark.parametrize(
    ("option", "message"),
    [({"tokens": 1}, "tokens 1 is below 2"), ({"limits": {"nosuch": 1}}, "nosuch"), ({"limits": {"logprob": "x"}}, "limits: ")],
)
def test_options_that_cannot_be(option: dict[str, Any], message: str, three: Engines) -> None:
    result = prove(three, **option)
    assert result["failed"]
    assert message in result["msg"]
    assert three.router.chats == []


def test_the_time_for_all_requests(three: Engines) -> None:
    router = {**ROUTER, "url": three.router.url, "workers": three.workers}
    steps = Prover(open_url, router, three.workers, Settings(seconds=0)).run()
    assert [step.state for step in steps[:4]] == ["proven", "proven", "failed", "not tried"]
    assert steps[2].problems == ["pair prefill-0 > decode-0: not tried: the time for all requests is over"]
    assert three.decode.chats == []
