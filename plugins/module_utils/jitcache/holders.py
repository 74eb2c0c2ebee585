# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds the GPUs of a host: engines, also those that the plan has no more, and compilations that a lost run has left.

What is stopped for a compilation is written down on the host before it is stopped, so that the next run starts it, whatever became of the
run that has stopped it. The record is gone with the next boot, which starts engines by itself.
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, Iterable, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import compiling
from ansible_collections.railyard.sglang.plugins.module_utils.services import units

Runner = Callable[[List[str]], Tuple[int, str, str]]
RECORD, TRANSIENT = "/run/railyard-deepgemm/stopped", "/run/systemd/system"
ROLE = "engine"
# In the unit's description, as the templates of the roles have it.
RANK = re.compile(r"^Description=.*\brank (\d+) of \d+", re.MULTILINE)
JOB = re.compile(r"^sglang-deepgemm-(?P<instance>.+)\.service$")
ACTIVE = ("active", "activating", "reloading", "deactivating")


def noted(root: str) -> List[str]:
    """Return the units that a run has stopped and not started again."""
    try:
        with open(root + RECORD, encoding="utf-8") as stream:
            return sorted({line.strip() for line in stream if line.strip()})
    except FileNotFoundError:
        return []


def note(root: str, names: Iterable[str]) -> List[str]:
    """Write down units that are about to be stopped, besides those that are written down; return all of them."""
    found = sorted({*noted(root), *names})
    compiling.write(root + RECORD, "".join(f"{name}\n" for name in found), 0o644)
    return found


def forget(root: str) -> None:
    """Remove the record."""
    if os.path.exists(root + RECORD):
        os.remove(root + RECORD)


def waiting(root: str, run: Runner) -> List[str]:
    """Return the units that are written down, are still installed, and do not run."""
    found = [units.show(run, name) for name in noted(root)]
    return [unit.name for unit in found if unit.load != "not-found" and unit.active not in ("active", "activating", "reloading")]


def restore(root: str, run: Runner) -> List[str]:
    """Start what is written down, and forget it; return what was started. Raises UnitError, and then the record stays."""
    names = waiting(root, run)
    if names:
        units.systemctl(run, "start", *names)
    forget(root)
    return names


def others(run: Runner, cluster: str, planned: Iterable[str], directory: str = units.DIRECTORY) -> List[Dict[str, Any]]:
    """Return the engines of a cluster that are at work and that the plan of this host has no more, with their ranks.

    Which GPUs they hold nobody knows any more.

    :param planned: units of the plan's ranks.
    """
    found = []
    for name, text in units.marked(cluster, directory).items():
        mark, rank = units.MARK.search(text), RANK.search(text)
        if mark and mark.group("role") == ROLE and name not in set(planned) and units.show(run, name).active in ACTIVE:
            found.append({"unit": name, "rank": int(rank[1]) if rank else 0})
    return found


def compilations(run: Runner, cluster: str, instances: Iterable[str], root: str) -> List[str]:
    """Return the instances whose kernels are being compiled on this host, also those that the plan of the cluster has no more."""
    marked = [JOB.match(name) for name in units.marked(cluster, root + TRANSIENT)]
    names = {*instances, *(match["instance"] for match in marked if match)}
    return sorted(name for name in names if compiling.active(compiling.Job(name, root), run))
