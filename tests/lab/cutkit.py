# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests that cut a renaming off have in common: its steps, cuts at some of them, and that the host is as before then."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from nickit import STATE, NicLab, difference

#: What a transaction needs for itself.
OWN = (f"{STATE}/undo.pyz", f"{STATE}/.undo.pyz", f"{STATE}/pending", "/etc/systemd/system/")
#: What was cut off is not to be tried again by ssh itself: that would be a change of its own.
ONCE = ("-e", "ansible_ssh_retries=0")
#: Seconds until an undo by the timer; a host that cannot be reached meanwhile is waited for.
UNDO_SECONDS = 240


def own(present: dict[str, Any]) -> list[str]:
    """Return the files that belong to an open transaction."""
    return [path for path in present["files"] if path.startswith(OWN) and ("railyard-nic-names" in path or path.startswith(STATE))]


def without_own(present: dict[str, Any]) -> dict[str, Any]:
    """Return a look without what belongs to an open transaction."""
    left_out = own(present)
    files = {path: value for path, value in present["files"].items() if path not in left_out}
    return {**present, "files": files, "units": []}


def is_before(host: NicLab, before: dict[str, Any], without: tuple[str, ...] = (), seconds: float = 90) -> None:
    """See that the host is as before, but for an open transaction that has not come far enough for a timer."""
    until = time.monotonic() + seconds
    while True:
        now = without_own(host.look())
        parts = [part for part in before if part not in without and now[part] != before[part]]
        if not parts:
            return
        assert time.monotonic() < until, "\n".join(f"{part}: {difference(before[part], now[part])}" for part in parts)
        time.sleep(2)


def steps_of(host: NicLab, last: str = "log applied", **change: Any) -> list[str]:
    """Return the steps of a change up to where it waits for its confirmation, or its boot; it is undone in the end.

    :param last: the last step.
    :param change: parameters of nic_names.
    """
    with host.watched() as steps:
        host.named(confirm=False, **change).succeeded()
    host.undo_now()
    assert any(step.startswith("log") for step in steps), steps
    assert last in steps, steps
    return steps[: steps.index(last) + 1]


def journal_steps(steps: Sequence[str]) -> list[str]:
    """Return the steps that the journal itself makes."""
    return [step for step in steps if step.startswith("log") or "pending" in step]


def few(steps: Sequence[str], most: int = 6) -> list[str]:
    """Return some lines of the journal's log, the first and the last but one among them.

    The last one says that everything is done; cutting it off is what nobody's confirmation is.
    """
    logged = [step for step in steps if step.startswith("log")][:-1]
    return list(dict.fromkeys(logged[round(at * (len(logged) - 1) / (most - 1))] for at in range(most)))


def killed(host: NicLab, before: Mapping[str, Any], steps: Sequence[str], **change: Any) -> None:
    """Kill the module at some steps of a change, one time each, and see that the host is as before each time.

    The host may be cut off by that: then its timer is waited for, as nobody else could help it.
    """
    reached = []
    for step in steps:
        with host.watched("kill", step) as seen:
            host.named(*ONCE, confirm=False, **{"confirm_seconds": UNDO_SECONDS, **change})
            assert host.reachable(UNDO_SECONDS + 180), f"killed at {step} the host has not come back"
        host.undo_now()
        reached += [step] if "killed" in seen else []
        as_before(host, before, f"killed at {step}: {seen[-2:]}")
    # How long a port takes to come up makes a line of the log more or less.
    assert len(reached) >= len(steps) - 1, f"of {steps} only {reached} were reached"


def without_power(host: NicLab, before: Mapping[str, Any], steps: Sequence[str], **change: Any) -> None:
    """Start the host anew at some steps of a change, as after a power cut, and see that it is as before each time."""
    for step in steps:
        boot = host.boot_id()
        with host.watched("reset", step):
            play = host.playbook(confirm=False, **{**change, "confirm_seconds": 3600})
            run = host.start(*ONCE, playbook=play, variables={})
            try:
                host.booted(boot)
            finally:
                run.kill()
        as_before(host, before, f"without power at {step}", without=("altnames",))
        assert host.open_transaction() == ""


def confirmation_steps(host: NicLab, **change: Any) -> list[str]:
    """Return the steps of a confirmation; the host has its former names again at the end."""
    transaction = host.done(confirm=False, confirm_seconds=UNDO_SECONDS, **change)["transaction"]
    with host.watched() as steps:
        host.confirmed(transaction).succeeded()
    host.done(state="absent")
    return steps


def confirmed_up_to(host: NicLab, before: Mapping[str, Any], step: str, action: str, **change: Any) -> None:
    """Cut a confirmation off at a step: the names are kept, or undone, and never between. The former ones are back at the end.

    :param action: C(kill) or C(reset).
    """
    transaction = host.done(confirm=False, confirm_seconds=UNDO_SECONDS, **change)["transaction"]
    after, boot = host.look(), host.boot_id()
    with host.watched(action, step):
        run = host.start(*ONCE, playbook=host.confirmation(transaction), variables={})
        try:
            if action == "reset":
                host.booted(boot)
            else:
                run.result(300)
        finally:
            run.kill()
    if action == "kill":
        # A controller that has not heard of it asks again; that is no error, whichever way it was.
        host.confirmed(transaction).succeeded()
        assert own(host.look()) == []
    assert host.open_transaction() == ""
    if host.look()["names"] == after["names"]:
        parts = ("names", "addresses", "routes", "rules", "devices")
        host.settled({part: after[part] for part in parts}, seconds=120)
        host.done(state="absent")
    as_before(host, before, f"confirmed up to {step}", without=("altnames",))


def as_before(host: NicLab, before: Mapping[str, Any], when: str, without: tuple[str, ...] = ()) -> None:
    """See that the host is as before, and say when it is not."""
    try:
        is_before(host, dict(before), without=without, seconds=150)
    except AssertionError as error:
        raise AssertionError(when) from error
