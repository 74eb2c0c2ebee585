# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof as far as it is made from the router's host: one step after the other, each bounded in time and load.

What would hang is not asked: a router with other workers than planned, or a worker that is not what it should be, ends it before requests,
and a request that nobody answers, or that an engine fails, ends it there.
"""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.serving import chat, http, judge, proof, same, serverinfo, texts
from ansible_collections.railyard.sglang.plugins.module_utils.serving.chat import Reply
from ansible_collections.railyard.sglang.plugins.module_utils.serving.pairs import Pair, ask, ask_pair, covering, pairs
from ansible_collections.railyard.sglang.plugins.module_utils.serving.steps import Step, not_tried, timed, together

PAUSE_SECONDS = 1.0
# /health of 0.5.8 generates a token and may take up to 20 s under load.
HEALTH_SECONDS, INFO_SECONDS, LIST_SECONDS = 25, 10, 5
WIDTH = 4
LONG_ANSWER = 4
# An estimate of a text's tokens from its characters may be so far off.
FIT = 0.9
MARGIN = 64
# Of the prompts whose times are taken: long enough that the KV cache's way shows, a token has a character or more.
TIMED_CHARACTERS = 2048
COMPARABLE = 3
STEPS = ("router", "workers", "pairs", "chat", "stream", "long prompt", "UTF-8", "concurrency", "answer")


@dataclass(frozen=True)
class Settings:
    """What an operator may set.

    :ivar prompt: of the chats that are counted, with C(tokens) in the answer.
    :ivar timeout: seconds for the router to be ready; C(answer_timeout) for each answer; C(seconds) for all requests together.
    :ivar rounds: requests per pair whose times are taken.
    :ivar pair_limit: pairs that are asked where there are more of them.
    :ivar long_limit: tokens of the long prompt at most.
    :ivar known: known continuations by prompt.
    :ivar random_words: the model's words are random by design, and no limit of a language fits them.
    """

    prompt: str = "Say hello."
    tokens: int = 16
    timeout: float = 120
    answer_timeout: float = 120
    seconds: float = 600
    rounds: int = 2
    pair_limit: int = 64
    long_limit: int = 32768
    concurrency: int = 4
    judge_prompt: str = "Describe a harbour in the morning in three sentences."
    judge_tokens: int = 64
    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    limits: judge.Limits = field(default_factory=judge.Limits)
    random_words: bool = False


def _named(name: str, found: Sequence[str]) -> List[str]:
    return [f"{name}: {text}" for text in found]


class Prover:
    """Does the steps.

    :ivar rows: what is known of each pair, by its name.
    :ivar sent: prompt tokens that were sent to each instance by name, pinned requests only.
    :ivar unanswered: whether a request got no answer, or an engine failed it.
    """

    def __init__(self, opener: http.Opener, router: Mapping[str, Any], workers: Sequence[Dict[str, Any]], settings: Settings) -> None:
        self.opener, self.router, self.settings = opener, router, settings
        self.workers = [dict(row) for row in workers]
        self.model = str(router["model"])
        self.every = pairs(self.workers)
        self.asked = covering(self.every, settings.pair_limit)
        self.rows: Dict[str, Dict[str, Any]] = {}
        self.sent: Dict[str, int] = {}
        self.information: Dict[str, Dict[str, Any]] = {}
        self.first: Optional[Reply] = None
        self.answer: Optional[Reply] = None
        self.unanswered = False
        self.end = 0.0
        self.lock = threading.Lock()

    # --- what is asked

    def _left(self) -> float:
        return min(self.settings.answer_timeout, max(1.0, self.end - time.monotonic()))

    def _late(self) -> bool:
        return time.monotonic() >= self.end

    def _ask(self, prompt: str, tokens: int, **more: bool) -> Reply:
        body = chat.body(self.model, prompt, tokens, **more)
        reply = ask(self.opener, str(self.router["url"]), body, self._left())
        if more.get("logprobs") and chat.refuses_logprobs(reply):
            return self._ask(prompt, tokens, **{**more, "logprobs": False})
        # What the router says of itself (503: no worker is free) need not be so of the next request.
        self.unanswered = self.unanswered or bool(reply.error)
        return reply

    def _pinned(self, pair: Pair, prompt: str, tokens: int, **more: bool) -> Tuple[Reply, List[str]]:
        body = chat.body(self.model, prompt, tokens, **more)
        reply, refusal = ask_pair(self.opener, pair, body, self._left())
        if more.get("logprobs") and chat.refuses_logprobs(reply):
            return self._pinned(pair, prompt, tokens, **{**more, "logprobs": False})
        self.unanswered = self.unanswered or bool(reply.error) or reply.status >= 500
        found = [f"the prefill instance: {refusal}"] if refusal else []
        found += chat.problems(reply, self.model, tokens)
        if not found:
            with self.lock:
                for row in (pair.prefill, pair.decode):
                    if row is not None:
                        self.sent[row["instance"]] = self.sent.get(row["instance"], 0) + int(reply.prompt_tokens or 0)
        return reply, found

    # --- steps

    def _not_ready(self) -> Tuple[List[str], bool, FrozenSet[str]]:
        """Return what is wrong with the router, whether waiting can mend it, and the workers that it does not list."""
        ready = http.request(self.opener, self.router["url"] + "/readiness", LIST_SECONDS)
        listed = http.request(self.opener, self.router["url"] + "/workers", LIST_SECONDS)
        problems = proof.worker_problems(self.router["workers"], listed)
        lasting = proof.lasting_problems(self.router["workers"], listed)
        said = [] if ready.status == 200 else [f"/readiness answered {ready.error or ready.status}"]
        return said + problems, not lasting, proof.unlisted(self.router["workers"], listed)

    def _well(self, url: str) -> bool:
        # One that answers more slowly may be too slow for the router, too.
        return http.request(self.opener, url + "/health", LIST_SECONDS).status == 200

    def router_step(self) -> Step:
        """Wait for the router, and compare its workers and its model with the plan."""
        step, end = Step("router"), time.monotonic() + self.settings.timeout
        patience = proof.patience(self.router.get("argv") or [])
        problems, may_heal, missing = self._not_ready()
        # Since when all those have answered that it does not list.
        since = time.monotonic()
        while problems and may_heal and time.monotonic() < end:
            if not missing or not all(map(self._well, missing)):
                since = time.monotonic()
            if time.monotonic() - since >= patience:
                problems.append(proof.GIVEN_UP.format(time.monotonic() - since))
                break
            time.sleep(PAUSE_SECONDS)
            before = missing
            problems, may_heal, missing = self._not_ready()
            if missing != before:
                since = time.monotonic()
        if not problems:
            problems = proof.model_problems(self.model, http.request(self.opener, self.router["url"] + "/v1/models", LIST_SECONDS))
        step.problems = problems
        step.evidence = f"{self.router['url']} lists {len(self.router['workers'])} workers as planned, and model {self.model}"
        return step

    def _inform(self, worker: Mapping[str, Any]) -> List[str]:
        # In this order: /server_info of 0.5.8 without a warmup hangs until /health has answered once.
        health = http.request(self.opener, worker["url"] + "/health", HEALTH_SECONDS)
        info = http.request(self.opener, worker["url"] + "/server_info", INFO_SECONDS) if health.status == 200 else http.Answer(0)
        told = serverinfo.answer_problem(health, info)
        self.information[worker["instance"]] = serverinfo.kept(info)
        found = [told] if told else serverinfo.plan_problems(worker.get("expected") or {}, serverinfo.kept(info))
        return _named(f"{worker['role']} {worker['instance']} {worker['url']}", found)

    def workers_step(self) -> Step:
        """Ask each worker what it is, and compare that with the plan and with the others."""
        step = Step("workers")
        for found in together([partial(self._inform, row) for row in self.workers], 2 * WIDTH):
            step.problems += found
        rows = [{"instance": name, "info": info} for name, info in sorted(self.information.items())]
        step.problems += serverinfo.peer_problems(rows)
        said = self.information.get(str(self.workers[0]["instance"]), {}) if self.workers else {}
        told = ", ".join(f"{serverinfo.NAMES.get(name, name)} {said[name]}" for name in serverinfo.SHARED if name in said)
        step.evidence = f"{len(self.workers)} of /server_info as planned: {told}"
        return step

    def pairs_step(self) -> Step:
        """Send one and the same chat to every pair, count its tokens, and compare the answers."""
        step = Step("pairs")
        prompt, tokens = self.settings.prompt, self.settings.tokens

        def one(pair: Pair) -> Tuple[Optional[Reply], List[str]]:
            if self._late():
                return None, ["not tried: the time for all requests is over"]
            # In one piece: a stream of 0.5.8 leaves out the probabilities of tokens that end within a character.
            return self._pinned(pair, prompt, tokens, logprobs=True)

        if not self.asked:
            step.problems.append("the router's workers make no pair of a prefill and a decode instance")
        replies: Dict[str, Reply] = {}
        for pair, (reply, found) in zip(self.asked, together([partial(one, pair) for pair in self.asked], WIDTH)):
            self.rows[pair.name] = self._row(pair, reply, found)
            step.problems += _named(f"pair {pair.name}", found)
            if reply is not None and not found:
                replies[pair.name] = reply
        wrong, ties = same.compare(replies)
        for name, text in sorted(wrong.items()):
            self.rows[name]["problems"].append(text)
            step.problems.append(f"pair {name}: answers otherwise than the others: {text}")
        if wrong and same.undecided(list(replies.values())):
            step.notes.append("no answer was given by more pairs than any other: it is not known which is right")
        step.notes += [f"pair {name}: {text}" for name, text in sorted(ties.items())]
        step.problems += self._one_prompt_length(replies)
        self.first = next(iter(replies.values()), None)
        left = f", {len(self.every) - len(self.asked)} left out" if len(self.every) > len(self.asked) else ""
        if left:
            step.notes.append(f"{len(self.every) - len(self.asked)} of {len(self.every)} pairs were not asked: verify_pair_limit")
        step.evidence = f"{len(replies)} of {len(self.asked)} pairs answered with {tokens} tokens, all the same words{left}"
        return step

    def _one_prompt_length(self, replies: Mapping[str, Reply]) -> List[str]:
        lengths: Dict[Any, List[str]] = {}
        for name, reply in replies.items():
            lengths.setdefault(reply.prompt_tokens, []).append(name)
        if len(lengths) < 2:
            return []
        return ["one prompt has different lengths: " + "; ".join(f"{size} on {', '.join(own)}" for size, own in lengths.items())]

    def _row(self, pair: Pair, reply: Optional[Reply], found: Sequence[str]) -> Dict[str, Any]:
        return {
            "pair": pair.name,
            "prefill": pair.prefill["instance"] if pair.prefill else "",
            "decode": pair.decode["instance"],
            "tokens": reply.tokens if reply else None,
            "text": reply.text if reply else "",
            "problems": list(found),
            "first": [],
            "between": [],
        }

    def timing_step(self) -> None:
        """Take the times of each pair in turn, one request at a time, with prompts that no cache has."""
        # Fewer pairs have no usual time that more rounds would make surer.
        rounds = self.settings.rounds if len(self.asked) >= COMPARABLE else min(1, self.settings.rounds)
        for _round in range(rounds):
            for pair in self.asked:
                row = self.rows[pair.name]
                if self._late() or row["problems"] or self.unanswered:
                    continue
                reply, found = self._pinned(pair, texts.unlike(texts.long(self._timed_characters(pair))), self.settings.tokens, stream=True)
                row["problems"] += found
                if not found and reply.first is not None:
                    row["first"].append(round(reply.first, 4))
                    row["between"].append(round(reply.between or 0.0, 5))

    def _timed_characters(self, pair: Pair) -> int:
        info = self.information.get(str((pair.prefill or pair.decode)["instance"]), {})
        return min(TIMED_CHARACTERS, texts.long_tokens(info, TIMED_CHARACTERS, self.settings.tokens)["tokens"])

    def chat_step(self) -> Step:
        """Count the tokens of one chat through the router, in one piece."""
        step = Step("chat")
        reply = self._ask(self.settings.prompt, self.settings.tokens, logprobs=True)
        self.answer = reply
        step.problems = chat.problems(reply, self.model, self.settings.tokens)
        if not step.problems:
            self._like(step, reply, "the chat through the router")
        step.evidence = (
            f"{reply.tokens} tokens of {self.settings.tokens} through the router, finish_reason {reply.finish}, as from the pairs"
        )
        return step

    def _like(self, step: Step, reply: Reply, what: str) -> None:
        """Compare a reply to the prompt of the pairs with theirs."""
        if self.first is None:
            return
        if self.first.prompt_tokens != reply.prompt_tokens:
            step.problems.append(f"{what} has {reply.prompt_tokens} prompt tokens, those to the pairs had {self.first.prompt_tokens}")
        found = same.difference(self.first, reply)
        if found is not None:
            _place, tie, text = found
            (step.notes if tie else step.problems).append(f"{what} has other words than the pairs': {text}")

    def stream_step(self) -> Step:
        """Stream that chat."""
        step = Step("stream")
        reply = self._ask(self.settings.prompt, self.settings.tokens, stream=True, logprobs=True)
        step.problems = chat.problems(reply, self.model, self.settings.tokens)
        if not step.problems and reply.chunks < 2:
            step.problems.append(f"the words of {reply.tokens} tokens came in {reply.chunks} event, so nothing was streamed")
        if not step.problems:
            self._like(step, reply, "the stream through the router")
        step.evidence = f"{reply.tokens} tokens in {reply.chunks} events, the first after {reply.first or 0:.2f} s, ended by {chat.DONE}"
        return step

    def long_step(self) -> Step:
        """Send each instance a prompt that prefill cuts into chunks."""
        step = Step("long prompt")
        counted = self.first.prompt_tokens if self.first else None
        per_token = len(self.settings.prompt) / max(1, int(counted or 1))
        sizes, least = [], 0
        for pair in covering(self.every, 1):
            if self.unanswered:
                step.notes.append(f"pair {pair.name}: not tried after that")
                continue
            if self._late():
                step.problems.append(f"pair {pair.name}: not tried: the time for all requests is over")
                continue
            info = self.information.get(str((pair.prefill or pair.decode)["instance"]), {})
            wanted = texts.long_tokens(info, self.settings.long_limit, LONG_ANSWER)
            reply, found = self._sized(pair, wanted["tokens"], per_token)
            step.problems += _named(f"pair {pair.name}, about {wanted['tokens']} prompt tokens", found)
            sizes.append(int(reply.prompt_tokens or 0))
            least = max(least, wanted["chunk"])
            if not found and wanted["chunk"] and sizes[-1] <= wanted["chunk"]:
                self._uncut(step, pair, sizes[-1], wanted)
        cut = f", chunks of {least}" if least else ", prompts are not cut into chunks"
        step.evidence = f"{len(sizes)} prompts of {min(sizes, default=0)} to {max(sizes, default=0)} tokens, every instance in one{cut}"
        return step

    def _uncut(self, step: Step, pair: Pair, size: int, wanted: Mapping[str, int]) -> None:
        """Say why a prompt was not cut: the engine lets in no longer one, or the operator allows none."""
        told = f"pair {pair.name}: {size} prompt tokens, a chunk holds {wanted['chunk']}"
        if wanted["room"] * FIT <= wanted["chunk"]:
            step.notes.append(f"{told}: the engine lets in {wanted['room']}, so it cuts none")
            return
        least = int(wanted["chunk"] / FIT) + MARGIN
        step.problems.append(f"{told}: none was cut. Fix: verify_long_tokens is {self.settings.long_limit}, set it to {least} or more")

    def _sized(self, pair: Pair, tokens: int, per_token: float) -> Tuple[Reply, List[str]]:
        """Send a prompt of about so many tokens. The template's own tokens make the estimate low, so it is corrected once."""
        characters = int(tokens * per_token)
        probe = self._pinned(pair, texts.unlike(texts.long(max(200, characters // 8))), LONG_ANSWER)
        counted = probe[0].prompt_tokens
        if probe[1] or not counted:
            return probe
        characters = int(tokens * max(200, characters // 8) / counted * FIT)
        return self._pinned(pair, texts.unlike(texts.long(characters)), LONG_ANSWER)

    def utf8_step(self) -> Step:
        """Send letters of several scripts, through the router and to a pair, which must read the same."""
        step = Step("UTF-8")
        through = self._ask(texts.UTF8, self.settings.tokens)
        step.problems = chat.problems(through, self.model, self.settings.tokens)
        if self.unanswered:
            return step
        pinned, found = self._pinned(self.asked[0], texts.UTF8, self.settings.tokens)
        step.problems += _named(f"pair {self.asked[0].name}", found)
        if not step.problems and through.prompt_tokens != pinned.prompt_tokens:
            step.problems.append(
                f"{through.prompt_tokens} prompt tokens through the router, {pinned.prompt_tokens} without it: it changes the text"
            )
        step.evidence = f"{through.prompt_tokens} prompt tokens of {len(texts.UTF8)} characters, the same with and without the router"
        return step

    def concurrency_step(self) -> Step:
        """Send several chats at once."""
        step, count = Step("concurrency"), self.settings.concurrency
        prompts = [f"{self.settings.prompt} {number}" for number in range(count)]
        replies = together([partial(self._ask, prompt, self.settings.tokens) for prompt in prompts], count)
        for number, reply in enumerate(replies):
            step.problems += _named(f"chat {number + 1} of {count}", chat.problems(reply, self.model, self.settings.tokens))
        slowest = max((reply.seconds for reply in replies), default=0.0)
        step.evidence = f"{count} chats at once, each with {self.settings.tokens} tokens, the slowest after {slowest:.2f} s"
        return step

    def answer_step(self) -> Step:
        """Judge words, not only count them."""
        step, known = Step("answer"), self.settings.known
        if known:
            for prompt, wanted in known.items():
                own = prompt == self.settings.prompt and self.answer is not None
                reply = self.answer if own and self.answer is not None else self._ask(prompt, self.settings.tokens)
                step.problems += [] if own else chat.problems(reply, self.model, self.settings.tokens)
                step.problems += judge.problems(reply, wanted, self.settings.limits)
            step.evidence = f"{len(known)} known continuation{'s' * (len(known) > 1)} came back"
            return step
        if self.settings.random_words:
            step.evidence = "this model's words are random by design; they were the same from every pair and through the router"
            step.notes.append("only a known continuation (verify_known) would show that they are the right ones")
            return step
        reply = self._ask(self.settings.judge_prompt, self.settings.judge_tokens, exact=False, logprobs=True)
        step.problems = chat.problems(reply, self.model, self.settings.judge_tokens, exact=False)
        if not step.problems:
            step.problems = judge.problems(reply, (), self.settings.limits)
        step.evidence = f"{reply.tokens} tokens within the limits of repetition, characters and probability: {reply.text[:80]!r}"
        return step

    # --- all of it

    def run(self) -> List[Step]:
        """Do all steps. After one without which the next would only hang, the rest is not tried."""
        done: List[Step] = []
        for name, work in (("router", self.router_step), ("workers", self.workers_step), ("pairs", self.pairs_step)):
            if name == "pairs":
                self.end = time.monotonic() + self.settings.seconds
            done.append(timed(work))
            if done[-1].problems:
                return done + [not_tried(row, f"after step {name} failed") for row in STEPS[len(done) :]]
        began = time.monotonic()
        self.timing_step()
        done[-1].seconds = round(done[-1].seconds + time.monotonic() - began, 2)
        faults = [f"pair {name}, timed: {text}" for name, row in self.rows.items() for text in row["problems"]]
        if faults:
            done[-1].problems += faults
            done[-1].settled()
        return done + self._through_router(len(done))

    def _through_router(self, before: int) -> List[Step]:
        """Do the steps that come after so many others."""
        done: List[Step] = []
        works = (self.chat_step, self.stream_step, self.long_step, self.utf8_step, self.concurrency_step, self.answer_step)
        failed = "pairs"
        for name, work in zip(STEPS[before:], works):
            if self._late():
                done.append(Step(name, problems=["not tried: the time for all requests is over: verify_seconds"]).settled())
            elif self.unanswered:
                done.append(not_tried(name, f"after a request of step {failed} got no answer, or failed in an engine"))
            else:
                done.append(timed(work))
                failed = name
        return done

    def pair_rows(self) -> List[Dict[str, Any]]:
        """Return what is known of the pairs, with the medians of their times."""
        for row in self.rows.values():
            row["first_seconds"] = round(statistics.median(row["first"]), 4) if row["first"] else None
            row["between_seconds"] = round(statistics.median(row["between"]), 5) if row["between"] else None
        return list(self.rows.values())
