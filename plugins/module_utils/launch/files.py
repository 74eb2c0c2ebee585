# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that an argument or a variable names: inputs of the plan, rendered below the instance's directory.

An operator writes C(sglang_files: {deepep.json: {content: {...}}}) or C({src: PATH ON THE CONTROLLER}) and uses it as
C(deepep-config: {file: deepep.json}); C({file: .}) is the directory itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings

# Arguments of sglang 0.5.8 that may be a path, which every rank then opens (server_args.py and its readers).
PATH_ARGUMENTS = frozenset(
    {
        "chat_template",
        "completion_template",
        "deepep_config",
        "disaggregation_ib_device",
        "dllm_algorithm_config",
        "ds_channel_config_path",
        "hicache_storage_backend_extra_config",
        "init_expert_location",
        "pdmux_config_path",
        "quantization_param_path",
        "speculative_token_map",
    }
)
# Environment variables of the same kind.
PATH_VARIABLES = frozenset({"SGLANG_MOE_CONFIG_DIR", "MC_CUSTOM_TOPO_JSON", "NCCL_TOPO_FILE", "NCCL_GRAPH_FILE"})
# Files of the same directory that the plan writes itself.
OWN = ("environment", "arguments.yaml")
SUFFIXES = (".json", ".jinja", ".yaml", ".yml", ".pt", ".xml")


def is_path(value: Any) -> bool:
    """Whether a text is a path rather than a name or inline JSON."""
    return isinstance(value, str) and not value.lstrip().startswith(("{", "[")) and ("/" in value or value.endswith(SUFFIXES))


def is_reference(value: Any) -> bool:
    """Whether a value is C({file: NAME})."""
    return isinstance(value, Mapping) and set(value) == {"file"}


def directory(instance: str) -> str:
    """Return the directory of an instance on every host of it."""
    return f"/etc/sglang/{instance}"


def _bytes(name: str, entry: Any, variable: str, read: Callable[[str], bytes], findings: Findings) -> bytes | None:
    where = f"{variable}.{name}"
    if not isinstance(entry, Mapping) or len({"content", "src"} & set(entry)) != 1 or len(entry) != 1:
        findings.add("file.entry", where, f"{entry!r} is not a file", "write {content: ...} or {src: PATH ON THE CONTROLLER}")
        return None
    if "content" in entry:
        content = entry["content"]
        return (content if isinstance(content, str) else json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
    try:
        return read(str(entry["src"]))
    except OSError as error:
        findings.add("file.source", where + ".src", f"cannot be read on the controller: {error}", "give the path of a readable file")
        return None


def _row(path: str, content: bytes) -> dict[str, str]:
    try:
        encoding, text = "text", content.decode()
    except UnicodeDecodeError:
        encoding, text = "base64", base64.b64encode(content).decode()
    return {"path": path, "content": text, "encoding": encoding, "sha256": hashlib.sha256(content).hexdigest()}


def render(
    entries: Mapping[str, Any],
    instance: str,
    variable: str,
    read: Callable[[str], bytes],
    findings: Findings,
) -> list[dict[str, str]]:
    """Return the files of an instance, each with its path on the host, its content, how that is encoded, and its SHA-256.

    :param read: returns the bytes of a path on the controller, or raises OSError.
    """
    rendered: list[dict[str, str]] = []
    for name, entry in sorted(entries.items()):
        clean = posixpath.normpath(str(name))
        if clean.startswith(("/", "..")) or clean == "." or clean.split("/")[0] in OWN or not clean.isprintable():
            findings.add(
                "file.name",
                f"{variable}.{name}",
                "is not a name below the instance's directory",
                f"use a relative name such as deepep.json, and not {' or '.join(OWN)}",
            )
            continue
        path = posixpath.join(directory(instance), clean)
        clash = [row["path"] for row in rendered if path.startswith(row["path"] + "/")]
        if clash:
            findings.add("file.name-clash", f"{variable}.{name}", f"{clash[0]} is a file, so nothing can be below it", "rename one of them")
        content = _bytes(name, entry, variable, read, findings)
        if content is not None:
            rendered.append(_row(path, content))
    return rendered


def resolve(value: Any, instance: str, rendered: list[dict[str, str]], variable: str, findings: Findings) -> Any:
    """Return value with C({file: NAME}) replaced by the path on the host; anything else is returned as it is."""
    if not is_reference(value):
        return value
    path = posixpath.normpath(posixpath.join(directory(instance), str(value["file"])))
    known = {row["path"] for row in rendered}
    if path != directory(instance) and path not in known and not any(row.startswith(path + "/") for row in known):
        findings.add(
            "file.unknown", variable, f"names file {value['file']}, which sglang_files does not hold",
            "add it to sglang_files, or to the files of the pool or the instance",
        )
    return path
