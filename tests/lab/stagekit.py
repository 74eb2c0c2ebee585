# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the network stage, by site.yml and its tag, on the one virtual machine of the tests of names; and an engine's unit there."""

from __future__ import annotations

import json
from typing import Any

from labkit import ROOT, Run
from nickit import HOST, RAILS, NicLab

UNIT = "sglang-prefill-0.service"
#: One name per rail. The interface of the fabric is found by its address, whatever it is called.
NAMES = {"network_prefix": "roce", "network_allow_rename": True, "network_confirm_seconds": 600, "sglang_fabric_interface": ""}
#: Stands for the engine's Python, which neither the memory nor the processor of an emulated machine is enough for.
STAND_IN = """#!/bin/sh
# Takes the arguments of the engine, and does nothing; nor do the programs beside it.
[ "$1" = -I ] || exec sleep infinity
"""
ENGINE = ROOT / "roles/engine"


def stage(host: NicLab, *words: str, seconds: float = 900, **variables: Any) -> Run:
    """Run the network stage alone on the one host that is there; the plan is that of the whole lab.

    :param words: more of ansible-playbook's arguments.
    """
    given = {"network_report_directory": str(host.scratch / "network"), **variables}
    return host.play("--tags", "network", "--limit", HOST, *words, variables=given, seconds=seconds)


def slice_of(run: Run) -> dict[str, Any]:
    """Return the host's slice of the last plan of a run, completed from what the host has."""
    found: dict[str, Any] = run.plan["hosts"][HOST]
    assert len(found["rdma"]["rails"]) == len(RAILS)
    return found


def tasks(run: Run, play: str) -> list[str]:
    """Return the tasks of a play that did something on the host, in their order, without the name of the role."""
    names = [row["task"].rpartition(" : ")[2] for row in run.on_hosts() if row["play"] == play]
    return list(dict.fromkeys(names))


def install_engine(host: NicLab, plan: dict[str, Any]) -> None:
    """Install the unit of the host's engine as stage engine does, with what belongs to it, and start it. Its program is a stand-in.

    :param plan: the host's slice.
    """
    (rank,) = plan["ranks"]
    assert rank["unit"] == UNIT
    host.write(rank["python"], STAND_IN, "755")
    templates = {
        "engine_unit_template": "unit.service.j2",
        "engine_environment_template": "environment.j2",
        "engine_arguments_template": "arguments.yaml.j2",
        "engine_command_template": "sglang-env.j2",
        "engine_sysusers_template": "sysusers.conf.j2",
        "engine_journald_template": "journald.conf.j2",
    }
    unit = {
        "name": rank["unit"],
        "user": "{{ engine_user }}",
        "files": "{{ __engine_files | rejectattr('reload', 'defined') | list }}",
        "directories": [rank["directory"]],
    }
    play = {
        "name": "Engine",
        "hosts": HOST,
        "gather_facts": False,
        "vars_files": [str(ENGINE / "defaults/main.yml"), str(ENGINE / "vars/main.yml")],
        "tasks": [
            {"name": "Install", "railyard.sglang.service_unit": unit},
            {"name": "Start", "railyard.sglang.service_state": {"units": [rank["unit"]], "state": "started"}},
        ],
    }
    path = host.scratch / "engine.yml"
    path.write_text(json.dumps([play]), encoding="utf-8")
    # Variables of the command line come before those of the files.
    variables = {"sglang_host": plan, "rank": rank, **{name: str(ENGINE / "templates" / file) for name, file in templates.items()}}
    host.play(playbook=str(path), variables=variables, seconds=600).succeeded()


def main_process(host: NicLab) -> str:
    """Return the main process of the engine's unit, C(0) where it does not run."""
    return host.ask(f"systemctl show --property MainPID --value {UNIT}")
