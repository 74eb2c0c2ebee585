# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which DeepGEMM kernels are compiled before an instance starts, and what of its arguments decides about them.

Evidence: compile_deep_gemm.py of sglang parses its command line itself: unlike launch_server it reads no file that --config names, so all
arguments stand on the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import key, paths
from ansible_collections.railyard.sglang.plugins.module_utils.launch import arguments, cacheplaces, files, looked, model
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

ENABLED = "SGLANG_ENABLE_JIT_DEEPGEMM"
OFF = ("0", "false", "no", "n")


def _part(contract: Contract, rank: Rank, known: model.Model, rows: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """Return what is to be compiled for a rank; None where the plan knows that there is nothing."""
    env = rank.environment
    if contract.engine.device != "cuda" or cacheplaces.KERNELS not in env or env.get(ENABLED, "1").lower() in OFF:
        return None
    block = bool(known.config) and key.block_fp8(known.config)
    if known.config and not block:
        return None
    # The program asks its own server by http://HOST:PORT, which is no URL with an IPv6 address.
    own = {"host": "127.0.0.1"} if ":" in str(rank.arguments.get("host") or "") else {}
    line, _none = arguments.split(contract.table, {**rank.arguments, **own}, False)
    counted = {name: value for name, value in rank.arguments.items() if not (contract.table.options[name].kind == "flag" and not value)}
    draft = contract.value(rank, "speculative-draft-model-path")
    local = isinstance(draft, str) and draft.startswith("/")
    # Of one that is fetched by its name no config.json is at hand: the name stands for its shape.
    named = {} if local or not draft else {"speculative_draft_model_path": draft}
    # The file's content decides, wherever it is.
    sums = paths.contents(rows, files.directory(rank.instance.name))
    part = {
        "path": env[cacheplaces.KERNELS],
        "argv": ["-m", "sglang.compile_deep_gemm", *line],
        "arguments": paths.moved({**key.arguments(counted), **named}, sums),
        "environment": paths.moved(key.environment(env), sums),
        "drafts": [draft] if local else [],
        # Whether the model's config.json was there to look at; otherwise the host has the last word.
        "certain": block,
    }
    return {**part, "stage": rank.number} if rank.instance.sizes.pp > 1 else part


def caches(contract: Contract, rank: Rank, known: model.Model, rows: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """Return the caches of a rank: C(directory), paths by variable, and C(deepgemm); None on devices that have none.

    :param known: what C(model.load) tells of the model.
    :param rows: the operator's files of the instance.
    """
    if contract.engine.device not in looked.GPUS:
        return None
    made = cacheplaces.environment(rank.instance, rank.number, contract.engine)
    return {
        "directory": cacheplaces.directory(rank.instance, rank.number, contract.engine),
        "variables": {name: rank.environment[name] for name in sorted(made) if name in rank.environment},
        "deepgemm": _part(contract, rank, known, rows),
    }
