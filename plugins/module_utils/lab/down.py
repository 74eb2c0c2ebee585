# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a lab down, so that nothing of it is left."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path
from typing import Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import limits, mounts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.host import empty_group, stop_hosts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import check_name
from ansible_collections.railyard.sglang.plugins.module_utils.lab.outcome import Outcome
from ansible_collections.railyard.sglang.plugins.module_utils.lab.processes import all_gone, identify, wait_until
from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_run import stop_machines
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import NAMESPACES, Record, load_record, read_register
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import describe, take_survey

NSPAWN_RUN = Path("/run/systemd/nspawn")


def absent(lab: Lab, check: bool) -> Outcome:
    """Remove everything of the lab but the cache's images and shared directories; with check, only say so.

    Raises:
        LabError: something cannot be removed.
    """
    paths, outcome = lab.paths, Outcome()
    check_name(paths.name)
    registered = read_register(paths.register).get(paths.name)
    if registered and registered["state"] != str(paths.state):
        raise LabError(
            f"The lab '{paths.name}' that runs on this machine belongs to {registered['state']}: take it down "
            f"with RAILYARD_CACHE={Path(registered['state']).parent.parent}"
        )
    try:
        record = load_record(paths.record)
    except LabError:
        # A damaged record must not keep what is there from being removed.
        record = None
    survey = take_survey(lab, record)
    groups = [mount / "railyard-lab" / paths.name for mount in lab.hierarchies.values()]
    remains = [paths.state, paths.registered, *groups]
    outcome.before = describe(lab, record, sorted(survey.running))
    outcome.after = describe(lab, None, [])
    if not survey.namespaces and not any(each.exists() for each in remains):
        outcome.before = outcome.after
        return outcome
    found = {path.name for path in (paths.state / "hosts").glob("*")}
    hosts = sorted(found | ({host.name for host in record.hosts} if record else set()))
    outcome.actions = [*(f"stop host {name}" for name in hosts), f"remove lab {paths.name}"]
    if check:
        return outcome
    with lab.locked(record.owner if record else 0):
        with outcome.timed("ssh"):
            end_shared_connections(lab, outcome)
        with outcome.timed("stop"):
            stop_hosts(lab, hosts)
            stop_machines(lab, hosts)
        with outcome.timed("remove"):
            remove(lab, record, hosts, groups)
    return outcome


def end_shared_connections(lab: Lab, outcome: Outcome) -> None:
    """End ssh's connections that stay open for the next command, so that nothing stays in the lab's namespace."""
    paths = lab.paths
    for control in paths.control.glob("*") if paths.control.is_dir() else []:
        command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={control}"]
        asked = lab.run([*command, "-O", "check", "lab"], None)
        pid = re.search(r"pid=(\d+)", asked.out + asked.err)
        master = identify(int(pid[1])) if pid else None
        lab.run([*command, "-O", "exit", "lab"], None)
        if not wait_until(partial(all_gone, [master]), 3):
            outcome.notes.append(f"The ssh process {master} of {control} has not ended")


def remove(lab: Lab, record: Optional[Record], hosts: Sequence[str], groups: Sequence[Path]) -> None:
    """Remove mounts, namespaces, control groups and files."""
    paths = lab.paths
    roots = [paths.host(host) / "root" for host in hosts]
    # systemd-nspawn names its lock after the root's inode, and leaves it when it is killed.
    inodes = [root.stat() for root in roots if root.is_dir()]
    for point in mounts.mounts_below(paths.state, mounts.read_mounts()):
        demand(lab.run, ["umount", point], f"unmount {point}")
    names = sorted(take_survey(lab, None).namespaces)
    if names:
        batch = "".join(f"netns delete {name}\n" for name in names)
        demand(lab.run, ["ip", "-batch", "-"], "remove the lab's network namespaces", batch)
    for group in groups:
        if group.is_dir():
            empty_group(group)
        if group.parent.is_dir() and not any(each.is_dir() for each in group.parent.iterdir()):
            group.parent.rmdir()
    for host in hosts:
        shutil.rmtree(NSPAWN_RUN / "propagate" / paths.host_namespace(host), ignore_errors=True)
    for inode in inodes:
        (NSPAWN_RUN / "locks" / f"inode-{inode.st_dev}:{inode.st_ino}").unlink(missing_ok=True)
    for directory in (NSPAWN_RUN / "propagate", NSPAWN_RUN / "locks", NSPAWN_RUN):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
    left = mounts.mounts_below(paths.state, mounts.read_mounts())
    if left:
        raise LabError(f"Still mounted below {paths.state}, so its files are kept: {', '.join(left)}")
    for directory in (paths.state, paths.registered):
        if directory.exists():
            shutil.rmtree(directory)
    if not any(each.is_dir() for each in paths.register.glob("*")):
        limits.restore_limit(paths.register / "max_user_instances")
    if paths.register.is_dir() and not any(paths.register.iterdir()):
        paths.register.rmdir()
    if record and record.made_namespace_directory and NAMESPACES.is_dir() and not any(NAMESPACES.iterdir()):
        if str(NAMESPACES) in mounts.mounts_below(NAMESPACES, mounts.read_mounts()):
            demand(lab.run, ["umount", str(NAMESPACES)], f"unmount {NAMESPACES}")
        NAMESPACES.rmdir()
