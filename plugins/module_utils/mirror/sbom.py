# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The software bill of materials of a mirror: CycloneDX 1.6 in JSON (ECMA-424)."""

from __future__ import annotations

import json
import uuid
from typing import Any, Dict, List, Mapping
from urllib.parse import quote

SPACE = uuid.UUID("6f9f1c6a-2f0a-5d0e-9a83-6f5a1c1e7b52")


def _hashes(digest: str) -> List[Dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _wheel(path: str, row: Mapping[str, Any], pin: Mapping[str, str]) -> Dict[str, Any]:
    file = path.rpartition("/")[2]
    return {
        "type": "library",
        "bom-ref": path,
        "name": pin["name"],
        "version": pin["version"],
        "purl": f"pkg:pypi/{quote(pin['name'], safe='')}@{quote(pin['version'], safe='')}?file_name={quote(file, safe='')}",
        "hashes": _hashes(row["sha256"]),
        "properties": [{"name": "railyard:stack", "value": stack} for stack in pin["stacks"].split()],
    }


def _stack(name: str, row: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": f"stack:{name}",
        "name": name,
        "description": f"{row['kind']} stack, {row['packages']} packages",
    }


def _model(name: str, row: Mapping[str, Any]) -> Dict[str, Any]:
    return {"type": "machine-learning-model", "bom-ref": row["path"], "name": name, "hashes": _hashes(row["checksum"])}


def bom(parts: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], pins: Mapping[str, Mapping[str, str]]) -> Dict[str, Any]:
    """Return the document. It has no time stamp, so that the same mirror has the same one.

    :param parts: those of the manifest.
    :param files: size and sha256 by path.
    :param pins: name, version and stacks (names with spaces between) of each wheel, by its path.
    """
    stacks = [_stack(name, row) for name, row in sorted(parts["stacks"].items())]
    wheels = [_wheel(path, files[path], pins[path]) for path in sorted(pins)]
    models = [_model(name, row) for name, row in sorted(parts["models"].items())]
    sources = [
        {"type": "file", "bom-ref": row["path"], "name": name, "hashes": _hashes(files[row["path"]]["sha256"])}
        for name, row in sorted(parts["sources"].items())
    ]
    components = [*stacks, *wheels, *models, *sources]
    links = [
        {"ref": f"stack:{name}", "dependsOn": sorted(path for path in pins if name in pins[path]["stacks"].split())}
        for name in sorted(parts["stacks"])
    ]
    content = json.dumps([components, links], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(SPACE, content)}",
        "version": 1,
        "metadata": {"component": {"type": "data", "bom-ref": "mirror", "name": "railyard.sglang mirror"}},
        "components": components,
        "dependencies": [{"ref": "mirror", "dependsOn": sorted(row["bom-ref"] for row in [*stacks, *models, *sources])}, *links],
    }


def text(document: Mapping[str, Any]) -> str:
    """Return the document as JSON."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
