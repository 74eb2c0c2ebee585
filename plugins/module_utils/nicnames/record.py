# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was, before this collection renamed anything: a JSON file on the host.

    version
    nics      identity of a card's port to name, former (name), rail, mac, pci, driver; mtu and rdma hold what these were, where they
              were changed (null and empty where not)
    files     path of a file that was written to what was there before: path (empty for a file that was not there), content (base64),
              mode; sha256 of what was written; mtu: its MTU before and after, where that was set
    removed   path of a file that was removed to its content and mode
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Dict, Mapping, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import journal
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Record

VERSION = 1
PATH = f"{journal.DIRECTORY}/record.json"
LIMIT = 1 << 26
MODE = 0o600

Entry = Dict[str, Any]


class RecordError(Exception):
    """The record cannot be used; the text says why and what to do."""


def load(content: Optional[bytes]) -> Record:
    """Return the record that a file holds; empty where there is none.

    :raises RecordError: it is not a record of this version.
    """
    if content is None:
        return {}
    try:
        found = json.loads(content)
        if found["version"] != VERSION:
            raise ValueError(f"version {found['version']}")
        for name in ("nics", "files", "removed"):
            if not all(isinstance(entry, dict) for entry in found[name].values()):
                raise ValueError(f"{name} is no table")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordError(
            f"{PATH} holds no record of the former names of this host's interfaces ({error!r}). Nothing was changed. "
            "Fix: restore it from a backup, or remove it; then the names of today count as the former ones"
        ) from error
    return dict(found)


def dump(record: Record) -> bytes:
    """Return the file of a record."""
    return (json.dumps(record, indent=1, sort_keys=True) + "\n").encode()


def nics(record: Record) -> Dict[str, Entry]:
    """Return identity to what is known of each port."""
    return dict(record.get("nics", {}))


def files(record: Record) -> Dict[str, Entry]:
    """Return path to what is known of each file that was written."""
    return dict(record.get("files", {}))


def removed(record: Record) -> Dict[str, Entry]:
    """Return path to each file that was removed."""
    return dict(record.get("removed", {}))


def by_rail(record: Record) -> Dict[int, str]:
    """Return rail to the identity of its port."""
    return {int(entry["rail"]): identity for identity, entry in nics(record).items() if entry.get("rail") is not None}


def back(record: Record) -> Dict[str, str]:
    """Return the names that the ports were given to their former ones."""
    return {str(entry["name"]): str(entry["former"]) for entry in nics(record).values() if entry["name"] != entry["former"]}


def digest(content: bytes) -> str:
    """Return by what a file is known again."""
    return hashlib.sha256(content).hexdigest()


def packed(content: bytes) -> str:
    """Return a file's content as text."""
    return base64.b64encode(content).decode("ascii")


def content(entry: Mapping[str, Any]) -> bytes:
    """Return the content that an entry keeps."""
    return base64.b64decode(entry["content"])


def untouched(entry: Optional[Mapping[str, Any]], now: bytes) -> bool:
    """Whether a file is still as it was written."""
    return entry is not None and entry["sha256"] == digest(now)


def absent_port(entry: Mapping[str, Any]) -> Nic:
    """Return a port that is not there, as the record knows it."""
    return Nic(
        name=str(entry["name"]),
        mac=str(entry["mac"]),
        permanent_mac=str(entry["mac"]),
        driver=str(entry["driver"]),
        pci=str(entry["pci"]),
        id_path=f"pci-{entry['pci']}" if entry["pci"] else "",
        virtual_function=bool(entry["vf"]),
    )


def port(nic: Nic, name: str, rail: Optional[int], before: Optional[Mapping[str, Any]]) -> Entry:
    """Return the entry of a port that gets a name.

    :param before: its entry of an earlier run.
    """
    former = before or {"former": nic.name, "mtu": None, "rdma": ""}
    return {
        "name": name,
        "former": former["former"],
        "rail": rail if rail is not None else former.get("rail"),
        "mac": nic.permanent_mac,
        "pci": nic.pci,
        "driver": nic.driver,
        "vf": nic.virtual_function,
        "mtu": former["mtu"],
        "rdma": former["rdma"],
    }
