# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of --disaggregation-ib-device, as SGLang reads them.

Sources: sglang 0.5.8 disaggregation/mooncake/transfer_engine.py get_ib_devices_for_gpu; 0.5.23 arg_groups/validation_hook.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import files
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.texts import number


@dataclass(frozen=True)
class Devices:
    """The RDMA devices of a rank.

    :ivar everywhere: for every GPU, where there is no map.
    :ivar by_gpu: GPU to devices, where there is one.
    :ivar problem: why SGLang does not read the text as it is meant.
    """

    everywhere: tuple[str, ...] = ()
    by_gpu: Mapping[int, tuple[str, ...]] | None = None
    problem: str = ""

    def of(self, gpu: int) -> tuple[str, ...]:
        """Return the devices of one GPU."""
        return self.everywhere if self.by_gpu is None else self.by_gpu.get(gpu, ())


def _names(text: str, version: str) -> tuple[tuple[str, ...], str]:
    """Return device names of a text with commas, and what is wrong with it."""
    items = text.strip().split(",")
    names = tuple(item.strip() for item in items)
    if any(":" in name for name in names):
        bad = next(name for name in names if ":" in name)
        return names, f"{bad!r} has a port, and device names are taken without one: no device of the host is called so"
    if version == "0.5.8" and any(item != item.strip() for item in items):
        return names, f"{text!r} holds blanks, which sglang {version} leaves in the names: no device of the host is called so"
    if not all(names):
        return tuple(filter(None, names)), f"{text!r} holds an empty name"
    return names, ""


def _map(value: Mapping[Any, Any], version: str) -> Devices:
    by_gpu: dict[int, tuple[str, ...]] = {}
    for key, text in value.items():
        gpu = number(str(key))
        if gpu is None or not isinstance(text, str):
            return Devices(problem=f"{key!r}: {text!r} is not the number of a GPU and its devices as one text, so the engine stops")
        by_gpu[gpu], problem = _names(text, version)
        if problem:
            return Devices(by_gpu=by_gpu, problem=f"GPU {key}: {problem}")
    return Devices(by_gpu=by_gpu, problem="" if by_gpu else "the map is empty, so the engine stops")


def parse(text: str, version: str) -> Devices:
    """Read the option's text, or the content of its file."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        if text.lstrip()[:1] in ("{", "["):
            return Devices(problem=f"{text!r} is not JSON, and is taken for the name of a device")
        names, problem = _names(text, version)
        return Devices(everywhere=names, problem=problem)
    if isinstance(value, dict):
        return _map(value, version)
    return Devices(problem=f"{text!r} is JSON, but no map of GPUs: any RDMA device of the host is then taken, or the engine stops")


def text_of(value: Any, rank: Rank, cluster: Cluster, read: Callable[[str], bytes]) -> str | None:
    """Return the text that SGLang will read for a value of the option: a file's content for a file of the plan.

    :returns: None where it is a path that the plan does not know.
    """
    if isinstance(value, Mapping):
        return json.dumps({str(key): item for key, item in value.items()})
    text = str(value)
    if not text.strip().endswith(".json"):
        return text
    name = text.removeprefix(files.directory(rank.instance.name) + "/")
    entries = {key: entry for layer in (cluster.variables["sglang_files"], *rank.instance.launch["files"]) for key, entry in layer.items()}
    entry = entries.get(name)
    if not isinstance(entry, Mapping):
        return None
    if "content" in entry:
        return entry["content"] if isinstance(entry["content"], str) else json.dumps(entry["content"])
    try:
        return read(str(entry.get("src", ""))).decode()
    except (OSError, ValueError, RuntimeError):
        return None
