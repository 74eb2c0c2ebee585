# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying a plan out: the record first, then the files, then what is live."""

from __future__ import annotations

import json
import os
from typing import List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import files, live, modules, plan, sysctls
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.live import Runner
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Record, Step
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree, unfinished
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.views import view
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Wanted

RELOADS = {plan.SYSTEMD: ["systemctl", "daemon-reload"], plan.UDEV: ["udevadm", "control", "--reload"]}


class TuningError(Exception):
    """A change failed; the text says which, why, and what to do."""


def load(tree: Tree) -> Record:
    """Return what was before, from an earlier run; empty where there was none.

    :raises TuningError: the file is not a record of this version.
    """
    text = tree.text(files.STATE)
    if text is None:
        return {}
    try:
        record = json.loads(text)
        if record["version"] != plan.VERSION:
            raise ValueError(f"version {record['version']}")
    except (ValueError, KeyError, TypeError) as error:
        raise TuningError(
            f"{files.STATE} holds no record of what this host was like before ({error}). Nothing was changed. "
            "Fix: restore it from a backup, or remove it; then what is live now counts as what was before"
        ) from error
    return dict(record)


def save(tree: Tree, record: Record) -> None:
    """Keep a record."""
    tree.write(files.STATE, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode(), 0o600)


def forget(tree: Tree, made: plan.Plan) -> None:
    """Tell that the record's directory goes, where it was made for the record, before it is empty."""
    if files.STATE_DIRECTORY in made.empty and tree.directory(files.STATE_DIRECTORY) and not tree.exists(files.FORGETTING):
        tree.write(files.FORGETTING, b"")


def _run(run: Runner, argv: List[str], advice: str = "") -> None:
    rc, out, err = run(argv)
    if rc != 0:
        words = " ".join((err or out).split()) or "no words"
        raise TuningError(f"'{' '.join(argv)}' ended with {rc}: {words}{'. ' if advice else ''}{advice}")


def _connection(tree: Tree, step: Step) -> None:
    """Set the class that rdma_cm gives to connections, through a directory that is made for that and removed again."""
    device, port = step.argv
    with view(tree, device) as path:
        tree.put(f"{path}/ports/{port}/default_roce_tos", step.content or b"0")


def take(tree: Tree, run: Runner, step: Step) -> None:
    """Take one step.

    :raises TuningError: a program refused.
    :raises OSError: the kernel or the file system refused.
    """
    if step.kind == "file" and step.content is not None:
        tree.write(step.what, step.content)
    elif step.kind == "file" or (step.kind == "link" and not step.after):
        tree.remove(step.what)
    elif step.kind == "link":
        tree.link(step.what, step.after)
    elif step.kind == "sysctl":
        tree.put(sysctls.path_of(step.what), step.after.encode() + b"\n")
    elif step.kind == "load":
        _run(run, ["modprobe", step.what], modules.CAUSES.get(step.what, ""))
    elif step.kind == "unload":
        # Not modprobe -r, which would take along what the module needs and was loaded before.
        _run(run, ["rmmod", step.what])
    elif step.kind == "command":
        _run(run, list(step.argv))
    elif step.kind == "put":
        tree.put(step.argv[0], step.content or b"")
    else:
        _connection(tree, step)


def _where(step: Step, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"cannot {step.text()}: {reason}. What was before is in {files.STATE}: the next run goes on, rdma_state: absent goes back"


def carry_out(tree: Tree, run: Runner, made: plan.Plan) -> None:
    """Carry a plan out.

    :raises TuningError: a step failed; the steps before it are done, and the record says what was before.
    """
    if made.during:
        save(tree, made.during)
    else:
        forget(tree, made)
    files_first = [step for step in made.steps if step.kind in plan.STORED]
    for step in [*files_first, None, *(step for step in made.steps if step not in files_first)]:
        try:
            if step is not None:
                take(tree, run, step)
                continue
            for path in made.empty:
                tree.remove_directory(path)
            for name in made.reload:
                _run(run, RELOADS[name])
        except OSError as error:
            raise TuningError(_where(step, error) if step else str(error)) from error
    if made.final:
        save(tree, made.final)
    else:
        forget(tree, made)
        tree.remove(files.STATE)
        tree.remove(unfinished(files.STATE))
    for path in made.empty:
        tree.remove_directory(path)
    tree.remove(files.FORGETTING)


def prepare(tree: Tree, run: Runner, wanted: Wanted, kernel: str) -> plan.Plan:
    """Look at a host and plan.

    :raises TuningError: the record cannot be read.
    """
    record = load(tree)
    return plan.build(wanted, live.look(tree, run, wanted, record, kernel), record)


def remaining(tree: Tree, run: Runner, wanted: Wanted, kernel: str) -> List[str]:
    """Return what differs still, after a plan was carried out: what the kernel or another program did not take."""
    again = prepare(tree, run, wanted, kernel)
    return again.faults + again.actions()


def live_diff(made: plan.Plan) -> Tuple[str, str]:
    """Return the live values before and after, a line each."""
    rows = [step for step in made.steps if step.kind not in plan.STORED]
    names = [f"module {step.what}" if step.kind in ("load", "unload") else step.what for step in rows]
    before = "".join(f"{name}: {step.before}\n" for name, step in zip(names, rows))
    return before, "".join(f"{name}: {step.after}\n" for name, step in zip(names, rows))
