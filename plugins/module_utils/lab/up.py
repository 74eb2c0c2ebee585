# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a lab up, or what of it does not run."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from ansible_collections.railyard.sglang.plugins.module_utils.lab import image, limits, subnets
from ansible_collections.railyard.sglang.plugins.module_utils.lab.boot import await_greetings, await_systemd
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.files import write_state
from ansible_collections.railyard.sglang.plugins.module_utils.lab.host import start_host, stop_hosts
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.machine import check_binds, check_machine
from ansible_collections.railyard.sglang.plugins.module_utils.lab.network import BRIDGES, make_network
from ansible_collections.railyard.sglang.plugins.module_utils.lab.outcome import Outcome
from ansible_collections.railyard.sglang.plugins.module_utils.lab.settings import Settings, check_settings
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import (
    NAMESPACES,
    HostRecord,
    Paths,
    Record,
    difference,
    load_record,
    networks_of_labs,
    read_register,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey, describe, take_survey


@dataclass(frozen=True)
class Work:
    """What has to be done until a lab is as recorded."""

    record: Record
    survey: Survey
    dead: tuple[HostRecord, ...]
    switch_whole: bool
    recipe: Optional[image.Recipe] = None
    builds_image: bool = False
    limit: int = 0
    wanted_limit: Optional[int] = None

    def actions(self, paths: Paths) -> list[str]:
        """Say what will be done, in its order."""
        found = []
        if self.builds_image:
            found.append(f"build root image {self.record.image}")
        if self.wanted_limit:
            found.append(f"raise fs.inotify.max_user_instances from {self.limit} to {self.wanted_limit}")
        if not self.switch_whole:
            found.append(f"make network namespace {paths.switch_namespace}")
        return [*found, *(f"start host {host.name}" for host in self.dead)]


def present(lab: Lab, settings: Settings, check: bool) -> Outcome:
    """Start the lab, or what of it does not run; with check, only say what would be done.

    Raises:
        LabError: the settings are wrong, the machine cannot carry the lab, another lab is in the way, or a host
            does not come up in time.
    """
    check_settings(settings)
    if check:
        return _present(lab, settings, check)
    with lab.locked(settings.owner):
        return _present(lab, settings, check)


def _present(lab: Lab, settings: Settings, check: bool) -> Outcome:
    outcome = Outcome()
    refuse_taken_name(lab.paths)
    recorded = load_record(lab.paths.record)
    work = _find_work(lab, settings, recorded)
    running = [host.name for host in work.record.hosts if host not in work.dead]
    outcome.before = outcome.after = describe(lab, recorded, running)
    if work.dead or not recorded:
        work = _prepare(lab, settings, work)
        outcome.actions = work.actions(lab.paths)
        outcome.after = describe(lab, work.record, [host.name for host in work.record.hosts])
        if not check:
            _carry_out(lab, settings, work, outcome)
    else:
        await_greetings(lab, list(work.record.hosts), settings.wait_seconds, outcome)
    outcome.image, outcome.instance = work.record.image, work.record.instance
    return outcome


def refuse_taken_name(paths: Paths) -> None:
    """Raise LabError where a lab of this name runs from another cache."""
    registered = read_register(paths.register).get(paths.name)
    if registered and registered["state"] != str(paths.state):
        raise LabError(
            f"A lab named '{paths.name}' runs on this machine already, from {registered['state']}: take it down "
            f"with RAILYARD_CACHE={Path(registered['state']).parent.parent}, or give this one another name "
            "(RAILYARD_LAB_NAME)"
        )


def asked_record(lab: Lab, settings: Settings, recorded: Optional[Record], backend: str, distribution: str = "debian") -> Record:
    """Return the record of what is asked, which is the recorded one where that is up. Raises LabError where it has other settings."""
    asked = Record(
        name=lab.paths.name,
        instance=uuid.uuid4().hex[:8],
        boot_id=lab.boot_id,
        image="",
        owner=settings.owner,
        management_network=str(settings.management_network),
        fabric_network=str(settings.fabric_network),
        hosts=settings.hosts,
        backend=backend,
        distribution=distribution,
    )
    if recorded:
        differs = difference(recorded, asked)
        if differs:
            raise LabError(
                f"The lab '{lab.paths.name}' is up with other settings ({'; '.join(differs)}): take it down first "
                "(ansible-playbook -i inventory/lab playbooks/lab_down.yml), or ask for what is up"
            )
        asked = replace(recorded, boot_id=lab.boot_id)
    return asked


def _find_work(lab: Lab, settings: Settings, recorded: Optional[Record]) -> Work:
    """Compare what is asked with what is recorded and there. Raises LabError where a lab of other settings is up."""
    asked = asked_record(lab, settings, recorded, "nspawn")
    survey = take_survey(lab, recorded)
    switch_whole = lab.paths.switch_namespace in survey.namespaces and set(BRIDGES) <= survey.links
    dead = tuple(host for host in asked.hosts if not (switch_whole and survey.whole(lab.paths, host.name)))
    return Work(asked, survey, dead, switch_whole)


def _prepare(lab: Lab, settings: Settings, work: Work) -> Work:
    """Choose image and limit for the hosts to be started. Raises LabError where this machine cannot carry them."""
    paths, record, recipe = lab.paths, work.record, None
    if not record.image or not (paths.images / record.image).is_dir():
        recipe = image.make_recipe(settings.extra_packages, settings.suite, settings.apt_sources)
        record = replace(record, image=recipe.digest())
    builds_image = recipe is not None and image.image_path(recipe, paths.images) is None
    check_machine(lab, settings, work.dead, builds_image)
    if not work.switch_whole:
        occupied = [*subnets.read_occupied(lab.run), *networks_of_labs(paths.register, paths.name)]
        subnets.check_free(settings.management_network, "management_network", occupied)
        subnets.check_free(settings.fabric_network, "fabric_network", occupied)
    check_binds(lab, work.dead)
    limit = int(limits.LIMIT.read_text(encoding="ascii"))
    wanted = limits.wanted_limit(limit, limits.count_instances(), len(work.dead))
    return replace(work, record=record, recipe=recipe, builds_image=builds_image, limit=limit, wanted_limit=wanted)


def _carry_out(lab: Lab, settings: Settings, work: Work, outcome: Outcome) -> None:
    """Do the work. Raises LabError where something fails."""
    paths, record, dead = lab.paths, work.record, work.dead
    if work.recipe is not None:
        with outcome.timed("image"):
            image.build_image(work.recipe, paths.images, lab.run)
    with outcome.timed("network"):
        if work.wanted_limit:
            _raise_limit(paths, work.wanted_limit)
        stop_hosts(lab, [host.name for host in dead])
        if not NAMESPACES.exists() or any(entry.get("made_namespace_directory") for entry in read_register(paths.register).values()):
            # Made for the first of the labs, to be removed with the last.
            record = replace(record, made_namespace_directory=True)
        write_state(lab, record, settings.owner)
        make_network(lab, record, dead, work.switch_whole, work.survey)
    with outcome.timed("start"):
        for host in dead:
            start_host(lab, record, host)
    with outcome.timed("boot"):
        await_greetings(lab, dead, settings.wait_seconds, outcome)
        await_systemd(lab, dead, settings.wait_seconds, outcome)


def _raise_limit(paths: Paths, value: int) -> None:
    """Raise the limit of inotify instances. Raises LabError where this machine does not allow that."""
    try:
        limits.raise_limit(value, paths.register / "max_user_instances")
    except OSError as error:
        raise LabError(
            f"The hosts of the lab '{paths.name}' need more inotify instances than this machine allows ({error}): "
            f"sysctl -w fs.inotify.max_user_instances={value}"
        ) from error
