# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what an operator writes about where a model comes from to the source itself."""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.http import Mirror
from ansible_collections.railyard.sglang.plugins.module_utils.model.mirrored import SignedMirror
from ansible_collections.railyard.sglang.plugins.module_utils.model.programs import Hub, ObjectStore
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import Directory, Source

# Per type: what must be given, what may be.
KEYS = {
    "directory": (("path",), ()),
    "mirror": (("name",), ()),
    "http": (("url",), ()),
    "s3": (("bucket",), ("prefix", "endpoint", "region", "provider")),
    "hub": (("repo", "revision"), ("endpoint",)),
}
COMMIT = re.compile(r"[0-9a-f]{40}")


def request(origin: Mapping[str, Any], checksum: str) -> Dict[str, Any]:
    """Return what a version was asked for by: no secrets are in it."""
    return {"origin": {name: value for name, value in sorted(origin.items()) if value}, "checksum": checksum}


def _check(given: Mapping[str, Any], checksum: str) -> None:
    kind = given["type"]
    needed, possible = KEYS[kind]
    for name in needed:
        if not given.get(name):
            raise ModelError(f"model_origin.{name}", f"is not set, and type {kind} needs it", f"set it, with {', '.join(needed)} in all")
    for name, value in given.items():
        if value and name != "type" and name not in needed + possible:
            raise ModelError(f"model_origin.{name}", f"is nothing that type {kind} knows", f"it knows {', '.join(needed + possible)}")
    if kind in ("http", "s3") and not checksum:
        fix = "set it to what `LC_ALL=C sort -k 2 SHA256SUMS | sha256sum` prints of the file that was checked"
        raise ModelError("sglang_model.checksum", f"is empty: what type {kind} brings could be anything", fix)
    if kind == "http" and not re.match(r"https?://[^/@]+(/|$)", given["url"]):
        raise ModelError("model_origin.url", "is no address of http or https without a user in it", "give secrets by model_token")


def make(
    given: Mapping[str, Any], checksum: str, secrets: Mapping[str, str], hub_python: str, hub_program: str, *,
    mirror: Tuple[str, Sequence[str]] = ("", ()),
) -> Source:
    """Return the source. Raises ModelError.

    :param given: C(type), and the keys that this type needs.
    :param secrets: C(token) of hub or web server, C(access_key) and C(secret_key) of the object store.
    :param mirror: the signed mirror, and the public keys that may have signed it.
    """
    _check(given, checksum)
    kind = given["type"]
    if kind == "directory":
        return Directory(given["path"])
    if kind == "mirror":
        if not mirror[0]:
            raise ModelError("model_mirror", "is empty, and model_origin.type is mirror", "set stack_mirror, or model_mirror")
        return SignedMirror(mirror[0], given["name"], mirror[1], bool(checksum))
    if kind == "http":
        return Mirror(given["url"], secrets.get("token", ""))
    if kind == "s3":
        settings = {name: given.get(name) or "" for name in ("endpoint", "region")}
        settings["provider"] = given.get("provider") or ("Other" if settings["endpoint"] else "AWS")
        settings.update(access_key_id=secrets.get("access_key", ""), secret_access_key=secrets.get("secret_key", ""))
        if not settings["access_key_id"]:
            # The instance's own role, or the environment of the host.
            settings["env_auth"] = "true"
        return ObjectStore(given["bucket"], (given.get("prefix") or "").strip("/"), settings)
    if not hub_python:
        fix = "name a Python on the host that has huggingface_hub, such as that of the engine's stack"
        raise ModelError("model_hub_python", "is empty", fix)
    settings = {name: given.get(name) or "" for name in ("repo", "revision", "endpoint")}
    return Hub(hub_python, hub_program, settings, secrets.get("token", ""))
