# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a lab of virtual machines up, or what of it does not run."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import (
    qemu_args,
    qemu_image,
    qemu_network,
    qemu_run,
    qemu_saved,
    requirements,
    subnets,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.boot import await_greetings, await_systemd
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.files import write_state
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import BASE_MEMORY_MB
from ansible_collections.railyard.sglang.plugins.module_utils.lab.looks import LOOKS
from ansible_collections.railyard.sglang.plugins.module_utils.lab.machine import check_binds
from ansible_collections.railyard.sglang.plugins.module_utils.lab.outcome import Outcome
from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import check_fabric
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import environment
from ansible_collections.railyard.sglang.plugins.module_utils.lab.settings import Settings, check_settings
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import (
    NAMESPACES,
    HostRecord,
    Paths,
    Record,
    load_record,
    make_directories,
    networks_of_labs,
    read_register,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey, describe, take_survey
from ansible_collections.railyard.sglang.plugins.module_utils.lab.up import asked_record, refuse_taken_name

BACKEND = "qemu"

#: What a host's disk takes until its services run, and its ram disk.
HOST_DISK_MB = 400

#: Below it the kernel and the services of a host do not fit.
SMALLEST_MEMORY_MB = 512

#: Seen: 5 s for two hosts.
RESUME_SECONDS = 120

TAPS = Path("/dev/net/tun")


@dataclass(frozen=True)
class MachineSettings(Settings):
    """A lab of virtual machines as an operator asks for it."""

    cpus: int = 1
    kernel_arguments: str = ""
    saved_state: bool = True
    look: str = "debian"


@dataclass(frozen=True)
class MachineWork:
    """What has to be done until a lab of virtual machines is as recorded."""

    record: Record
    survey: Survey
    dead: tuple[HostRecord, ...]
    switch_whole: bool
    halted: tuple[HostRecord, ...] = ()
    recipe: Optional[qemu_image.MachineRecipe] = None
    builds_image: bool = False
    saved: Optional[Path] = None
    resumes: bool = False

    def actions(self, paths: Paths) -> list[str]:
        """Say what will be done, in its order."""
        found = [f"build machine image {self.record.image}"] if self.builds_image else []
        if not self.switch_whole:
            found.append(f"make network namespace {paths.switch_namespace}")
        found += [f"let host {host.name} go on" for host in self.halted]
        found += [f"{'resume' if self.resumes else 'start'} host {host.name}" for host in self.dead]
        return [*found, f"save state {self.saved.name}"] if self.saved and not self.resumes else found


def check_machine_settings(settings: MachineSettings) -> None:
    """Check what this machine has no say in. Raises LabError naming the value, the rule and the fix."""
    check_settings(settings)
    check_fabric(settings.fabric_network, settings.hosts)
    if not 1 <= settings.cpus <= 16:
        raise LabError(f"cpus is {settings.cpus}: a virtual machine has 1 to 16 processors")
    for host in settings.hosts:
        if host.memory_mb < SMALLEST_MEMORY_MB:
            raise LabError(f"host {host.name}: memory_mb is {host.memory_mb}: a virtual machine needs at least {SMALLEST_MEMORY_MB}")


def machines_present(lab: Lab, settings: MachineSettings, check: bool) -> Outcome:
    """Start the lab, or what of it does not run; with check, only say what would be done.

    Raises:
        LabError: the settings are wrong, the machine cannot carry the lab, another lab is in the way, or a host
            does not come up in time.
    """
    check_machine_settings(settings)
    if check:
        return _present(lab, settings, check)
    with lab.locked(settings.owner):
        return _present(lab, settings, check)


def _present(lab: Lab, settings: MachineSettings, check: bool) -> Outcome:
    outcome = Outcome()
    refuse_taken_name(lab.paths)
    recorded = load_record(lab.paths.record)
    record = asked_record(lab, settings, recorded, BACKEND, settings.look)
    survey = take_survey(lab, recorded)
    whole = qemu_network.switch_is_whole(lab.paths, survey)
    dead = tuple(host for host in record.hosts if not (whole and qemu_network.host_is_whole(survey, host)))
    # Such as those of a run that ended while it saved or loaded their state.
    halted = tuple(host for host in record.hosts if host not in dead and qemu_saved.is_halted(lab, host.name))
    work = MachineWork(record, survey, dead, whole, halted)
    outcome.before = outcome.after = describe(lab, recorded, [host.name for host in record.hosts if host not in dead])
    if dead or halted or not recorded:
        work = _prepare(lab, settings, work, fresh=not recorded)
        outcome.actions = work.actions(lab.paths)
        outcome.after = describe(lab, work.record, [host.name for host in work.record.hosts])
        if not check:
            _carry_out(lab, settings, work, outcome)
    else:
        await_greetings(lab, list(record.hosts), settings.wait_seconds, outcome)
    outcome.image, outcome.instance = work.record.image, work.record.instance
    return outcome


def _prepare(lab: Lab, settings: MachineSettings, work: MachineWork, fresh: bool) -> MachineWork:
    """Choose the image for the hosts to be started, and a saved state where the lab is a fresh one.

    Raises:
        LabError: this machine cannot carry the hosts.
    """
    paths, record, recipe = lab.paths, work.record, None
    if not record.image or not (paths.images / record.image).is_dir():
        recipe = qemu_image.make_machine_recipe(settings.extra_packages, settings.suite, settings.apt_sources, look=settings.look)
        record = replace(record, image=recipe.digest())
    builds_image = recipe is not None and qemu_image.machine_image_path(recipe, paths.images) is None
    check_resources(paths, settings, work.dead, builds_image)
    if not work.switch_whole:
        occupied = [*subnets.read_occupied(lab.run), *networks_of_labs(paths.register, paths.name)]
        subnets.check_free(settings.management_network, "management_network", occupied)
        subnets.check_free(settings.fabric_network, "fabric_network", occupied)
    check_binds(lab, work.dead)
    saved, resumes = None, False
    if fresh and settings.saved_state:
        saved, resumes = qemu_saved.find_state(lab, record, _machines(paths, record, settings))
    return replace(work, record=record, recipe=recipe, builds_image=builds_image, saved=saved, resumes=resumes)


def _machines(paths: Paths, record: Record, settings: MachineSettings) -> dict[str, qemu_args.Machine]:
    arguments = " ".join(word for word in (LOOKS[settings.look].kernel_arguments, settings.kernel_arguments) if word)
    return {host.name: qemu_run.machine_of(paths, record, host, settings.cpus, arguments) for host in record.hosts}


def check_resources(paths: Paths, settings: MachineSettings, dead: Sequence[HostRecord], build: bool) -> None:
    """Raise LabError with everything that this machine lacks for the hosts that are to be started."""
    place = paths.cache
    while not place.exists():
        place = place.parent
    search = environment()["PATH"]
    machine = requirements.Machine(
        is_root=os.geteuid() == 0,
        programs=frozenset(name for name in requirements.QEMU_PROGRAMS if shutil.which(name, path=search)),
        memory_available_mb=requirements.parse_meminfo(Path("/proc/meminfo").read_text(encoding="ascii")),
        disk_free_mb=shutil.disk_usage(place).free // (1 << 20),
        has_overlayfs=True,
        has_cgroups=True,
        has_taps=TAPS.exists(),
    )
    # An emulator takes as much as its guest has ever used, and that is all of it sooner or later.
    taken = [host.memory_mb + qemu_args.TRANSLATION_CACHE_MB + qemu_args.OVERHEAD_MB for host in dead]
    needs = requirements.Needs(
        hosts=len(dead),
        memory_mb=sum(taken) + BASE_MEMORY_MB,
        smallest_memory_mb=2 * max(taken, default=0) + BASE_MEMORY_MB,
        disk_mb=HOST_DISK_MB * len(dead) + settings.extra_disk_mb + (qemu_image.BUILD_DISK_MB if build else 0),
        disk_place=str(paths.cache),
    )
    lacks = requirements.missing(machine, needs, requirements.QEMU_PROGRAMS)
    if lacks:
        raise LabError(requirements.message(paths.name, lacks))


def _carry_out(lab: Lab, settings: MachineSettings, work: MachineWork, outcome: Outcome) -> None:
    """Do the work. Raises LabError where something fails."""
    paths, record, dead = lab.paths, work.record, work.dead
    if work.recipe is not None:
        with outcome.timed("image"):
            qemu_image.build_machine_image(work.recipe, paths.images, lab.run)
    with outcome.timed("network"):
        qemu_run.stop_machines(lab, [host.name for host in dead])
        if not NAMESPACES.exists() or any(entry.get("made_namespace_directory") for entry in read_register(paths.register).values()):
            # Made for the first of the labs, to be removed with the last.
            record = replace(record, made_namespace_directory=True)
        if work.saved and work.resumes:
            make_directories(paths.state, settings.owner)
            qemu_saved.take_files(paths, record, work.saved, settings.owner)
        write_state(lab, record, settings.owner)
        qemu_network.make_machine_network(lab, record, dead, work.switch_whole, work.survey)
    if work.halted:
        qemu_saved.go_on(lab, work.halted, RESUME_SECONDS)
        await_greetings(lab, work.halted, RESUME_SECONDS, outcome)
        qemu_saved.set_clocks(lab, work.halted)
    machines = _machines(paths, record, settings)
    if work.saved and work.resumes:
        try:
            with outcome.timed("resume"):
                _start(lab, record, dead, machines, work.saved)
                qemu_saved.go_on(lab, dead, RESUME_SECONDS)
                await_greetings(lab, dead, RESUME_SECONDS, outcome)
                qemu_saved.set_clocks(lab, dead)
        except LabError as error:
            outcome.notes.append(f"The saved state {work.saved.name} was of no use, so that the hosts were booted: {error}")
            qemu_run.stop_machines(lab, [host.name for host in dead])
            shutil.rmtree(work.saved)
            for host in dead:
                (paths.host(host.name) / qemu_saved.DISK).unlink()
        else:
            return
    with outcome.timed("start"):
        _start(lab, record, dead, machines, None)
    with outcome.timed("boot"):
        await_greetings(lab, dead, settings.wait_seconds, outcome)
        await_systemd(lab, dead, settings.wait_seconds, outcome)
    if work.saved:
        qemu_saved.save_state(lab, record, work.saved, outcome)


def _start(lab: Lab, record: Record, hosts: Sequence[HostRecord], machines: dict[str, qemu_args.Machine], saved: Optional[Path]) -> None:
    """Start hosts, from their saved states or from their disks. Raises LabError where one does not start."""
    for host in hosts:
        qemu_run.prepare_machine(lab, record, host)
        qemu_run.start_machine(lab, host, machines[host.name], qemu_saved.incoming(saved, host.name) if saved else ())
