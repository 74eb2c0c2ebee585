# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures a host's clock over its connection; the documentation is that of the module of the same name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import clock

SPEC: dict[str, dict[str, Any]] = {
    "attempts": {"type": "int", "default": 4},
    "enough": {"type": "float", "default": 0.1},
    "seconds": {"type": "float", "default": 20.0},
}
LEAST, MOST = 2, 20
READ = "date -u +%s.%N"
# timedated says whether adjtimex's maximum error is below 16 s; STA_UNSYNC alone is set by chrony without rtcsync, too.
SYNCHRONISED = "timedatectl show --property=NTPSynchronized --value 2>/dev/null"
FIRST = f"{READ}; if s=$({SYNCHRONISED}); then echo synchronised=$s; fi"

Ask = Callable[[str], str]


def measure(ask: Ask, attempts: int, enough: float, seconds: float) -> tuple[clock.Clock | None, list[tuple[float, float]], str]:
    """Return the clock, what each reading left, and the last answer.

    :param ask: runs a command on the host and returns what it printed.
    :param attempts: how often at most.
    :param enough: stop when the offset is known to so many seconds either way.
    :param seconds: begin no further attempt after so many.
    """
    wall, start = time.time(), time.monotonic()
    spans: list[tuple[float, float]] = []
    told, answer = None, ""
    for number in range(attempts):
        # The controller's clock may be set meanwhile; its monotonic one is not.
        before = wall + time.monotonic() - start
        answer = ask(FIRST if number == 0 else READ)
        after = wall + time.monotonic() - start
        found = clock.reading(answer)
        if number == 0:
            told = clock.synchronised(answer)
        if found is None:
            return None, spans, answer
        spans.append(clock.span(before, after, found))
        known = clock.combine(spans, told)
        # The first answer opens the connection and asks for more, so that it says least.
        if number + 1 >= LEAST and (known.error <= enough or after - wall >= seconds):
            break
    return clock.combine(spans, told), spans, answer


def told(action: ActionBase) -> dict[str, Any]:
    """Return what the host of another task's action says of its clock, as M(host_clock) does; or C(problem)."""
    usual = {name: row["default"] for name, row in SPEC.items()}
    found, _spans, answer = measure(lambda command: asked(action, command), **usual)
    return {"problem": f"its answer to {READ!r} is no time: {answer.strip()[:200]!r}"} if found is None else clock.data(found)


def asked(action: ActionBase, command: str) -> str:
    """Return the answer of a command. Without become: whoever asks is told the same time, and sudo takes longer."""
    return str(action._low_level_execute_command(command, sudoable=False)["stdout"])


def wrong_option(options: dict[str, Any]) -> str:
    """Return what is wrong with the options beyond their types, or an empty text."""
    if not LEAST <= options["attempts"] <= MOST:
        return f"attempts {options['attempts']} is not from {LEAST} to {MOST}"
    if not options["enough"] >= 0:
        return f"enough {options['enough']} is not a number of seconds"
    return "" if options["seconds"] > 0 else f"seconds {options['seconds']} is not above 0"


class ActionModule(ActionBase):
    """Runs commands that only read."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the clock as a fact."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=SPEC)
        if wrong := wrong_option(options):
            return {**result, "failed": True, "msg": wrong}
        found, spans, answer = measure(lambda command: asked(self, command), **options)
        if found is None:
            return {**result, "failed": True, "msg": f"the host's answer to {READ!r} is no time: {answer.strip()[:200]!r}"}
        row = clock.data(found)
        readings = [{"low": round(low, 6), "high": round(high, 6)} for low, high in spans]
        return {**result, "changed": False, "ansible_facts": {"sglang_clock": row}, "readings": readings, "msg": found.text()}
