# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that an argument or a variable names: inputs of the plan, rendered below the instance's directory.

An operator writes C(sglang_files: {deepep.json: {content: {...}}}) or C({src: PATH ON THE CONTROLLER}) and uses it as
C(deepep-config: {file: deepep.json}); C({file: .}) is the directory itself.
"""

from __future__ import annotations

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
        "deepep_config",
        "disaggregation_ib_device",
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


def _text(name: str, entry: Any, variable: str, read: Callable[[str], str], findings: Findings) -> str | None:
    where = f"{variable}.{name}"
    if not isinstance(entry, Mapping) or len({"content", "src"} & set(entry)) != 1 or len(entry) != 1:
        findings.add("file.entry", where, f"{entry!r} is not a file", "write {content: ...} or {src: PATH ON THE CONTROLLER}")
        return None
    if "content" in entry:
        content = entry["content"]
        return content if isinstance(content, str) else json.dumps(content, indent=1, sort_keys=True) + "\n"
    try:
        return read(str(entry["src"]))
    except (OSError, UnicodeDecodeError) as error:
        findings.add("file.source", where + ".src", f"cannot be read on the controller: {error}", "give the path of a readable text file")
        return None


def render(
    entries: Mapping[str, Any], instance: str, variable: str, read: Callable[[str], str], findings: Findings,
) -> list[dict[str, str]]:
    """Return the files of an instance, each with its path on the host, its text and its SHA-256.

    :param read: returns the text of a path on the controller, or raises OSError.
    """
    rendered = []
    for name, entry in sorted(entries.items()):
        clean = posixpath.normpath(str(name))
        if clean.startswith(("/", "..")) or clean == "." or clean.split("/")[0] in OWN:
            findings.add(
                "file.name", f"{variable}.{name}", "is not a name below the instance's directory",
                f"use a relative name such as deepep.json, and not {' or '.join(OWN)}",
            )
            continue
        text = _text(name, entry, variable, read, findings)
        if text is not None:
            digest = hashlib.sha256(text.encode()).hexdigest()
            rendered.append({"path": posixpath.join(directory(instance), clean), "content": text, "sha256": digest})
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
