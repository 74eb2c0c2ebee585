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
import pathlib
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
# Arguments of sglang-router 0.3.2 of the same kind (router_args.py). Certificates may be bare paths: they are renewed on the host, beside
# their keys.
ROUTER_PATH_ARGUMENTS = frozenset({"chat_template", "mcp_config_path"})
# Environment variables of the same kind.
PATH_VARIABLES = frozenset({"SGLANG_MOE_CONFIG_DIR", "MC_CUSTOM_TOPO_JSON", "NCCL_TOPO_FILE", "NCCL_GRAPH_FILE"})
# Files of the same directory that the plan writes itself.
OWN = ("environment", "arguments.yaml")
SUFFIXES = (".json", ".jinja", ".yaml", ".yml", ".pt", ".xml")
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")


def is_path(value: Any) -> bool:
    """Whether a text is a path rather than a name or inline JSON."""
    return isinstance(value, str) and not value.lstrip().startswith(("{", "[")) and ("/" in value or value.endswith(SUFFIXES))


def is_reference(value: Any) -> bool:
    """Whether a value is C({file: NAME})."""
    return isinstance(value, Mapping) and set(value) == {"file"}


def without_references(value: Any) -> Any:
    """Return value with an empty text for each C({file: NAME}), so that an option table can judge the rest."""
    if isinstance(value, list):
        return [without_references(item) for item in value]
    return "" if is_reference(value) else value


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
    except (OSError, ValueError, RuntimeError) as error:  # also a null byte, or the home of a user that there is not
        findings.add("file.source", where + ".src", f"cannot be read on the controller: {error}", "give the path of a readable file")
        return None


def _row(path: str, content: bytes) -> dict[str, str]:
    try:
        encoding, text = "text", content.decode()
    except UnicodeDecodeError:
        encoding, text = "base64", base64.b64encode(content).decode()
    return {"path": path, "content": text, "encoding": encoding, "sha256": hashlib.sha256(content).hexdigest()}


def _render(
    entries: Mapping[str, Any], instance: str, variable: str, read: Callable[[str], bytes], findings: Findings,
) -> dict[str, tuple[str, dict[str, str]]]:
    rendered = {}
    for name, entry in sorted(entries.items()):
        where = f"{variable}.{name}"
        clean = posixpath.normpath(str(name))
        if clean.startswith(("/", "..")) or clean == "." or clean.split("/")[0] in OWN or not clean.isprintable():
            findings.add(
                "file.name", where, "is not a name below the instance's directory",
                f"use a relative name such as deepep.json, and not {' or '.join(OWN)}",
            )
            continue
        content = _bytes(name, entry, variable, read, findings)
        if content is None:
            continue
        if PRIVATE_KEY.search(content):
            findings.add(
                "file.secret", where, "holds a private key, and the plan can be read by everybody who may run it",
                "put the key on the hosts yourself, readable for the service's user only, and name its path as the argument",
            )
        path = posixpath.join(directory(instance), clean)
        rendered[path] = (where, _row(path, content))
    return rendered


def merge(
    layers: Sequence[tuple[str, Mapping[str, Any]]], name: str, read: Callable[[str], bytes], findings: Findings,
) -> Folder:
    """Return the files of an instance, or of the router, each with its path on the host, its content, how that is encoded, and its SHA-256.

    :param layers: variable and its entries; later ones replace files of the same name.
    :param name: of the instance, or C(router).
    :param read: returns the bytes of a path on the controller, or raises OSError.
    """
    merged: dict[str, tuple[str, dict[str, str]]] = {}
    for variable, entries in layers:
        merged |= _render(entries, name, variable, read, findings)
    for path, (where, _row_of_path) in sorted(merged.items()):
        for parent in map(str, pathlib.PurePosixPath(path).parents):
            if parent in merged:
                findings.add("file.name-clash", where, f"{parent} is a file, so nothing can be below it", "rename one of them")
    return Folder(name, [merged[path][1] for path in sorted(merged)])


@dataclass(frozen=True)
class Folder:
    """The directory of an instance, or of the router, on every host of it, and the operator's files in it."""

    name: str
    rows: list[dict[str, str]]

    def resolve(self, value: Any, variable: str, findings: Findings) -> Any:
        """Return value with C({file: NAME}) replaced by the path on the host; anything else is returned as it is."""
        if isinstance(value, list):
            return [self.resolve(item, variable, findings) for item in value]
        if not is_reference(value):
            return value
        path = posixpath.normpath(posixpath.join(directory(self.name), str(value["file"])))
        known = {row["path"] for row in self.rows}
        if path != directory(self.name) and path not in known and not any(row.startswith(path + "/") for row in known):
            router = self.name == "router"
            source, more = ("sglang_router.files", "") if router else ("sglang_files", ", or to the files of the pool or the instance")
            findings.add(
                "file.unknown", variable, f"names file {value['file']}, which {source} does not hold", f"add it to {source}{more}",
            )
        return path
