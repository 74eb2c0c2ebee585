# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts and variables of a host as they will be once its interfaces and RDMA devices have other names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any


def names(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return former name to new one of interfaces and RDMA devices that get another.

    :param rows: as C(nic_names) returns them.
    """
    pairs = [(row.get(f"{kind}before"), row.get(f"{kind}after")) for row in rows for kind in ("", "rdma_")]
    return {before: after for before, after in pairs if before and after and before != after}


def facts(found: Any, new: Mapping[str, str]) -> Any:
    """Return facts with every name that is among the former ones replaced; all at once, so that names may change places.

    :param found: what C(rdma_facts) returns, or a part of it. Names are whole values, or keys.
    """
    if isinstance(found, Mapping):
        return {new.get(key, key): facts(value, new) for key, value in found.items()}
    if isinstance(found, list):
        return [facts(value, new) for value in found]
    return new.get(found, found) if isinstance(found, str) else found


# Variables of a host that hold names of RDMA devices.
LISTS = ("sglang_rdma_devices", "sglang_rdma_exclude")
# A device, and a port of it.
DEVICE = re.compile(r"(\s*)([^\s:]+)(.*)", re.DOTALL)


def _device(text: Any, new: Mapping[str, str]) -> Any:
    """Return a device as it is written, perhaps with a port, by its new name."""
    match = DEVICE.fullmatch(text) if isinstance(text, str) else None
    return f"{match[1]}{new[match[2]]}{match[3]}" if match and match[2] in new else text


def variables(row: Mapping[str, Any], new: Mapping[str, str]) -> dict[str, Any]:
    """Return the variables of a host that name RDMA devices by former names, with the new ones; those that name none are left out.

    :param row: the host's variables as they are written. What has another form than it ought to have is left as it is.
    """
    found: dict[str, Any] = {}
    for name in LISTS:
        if isinstance(row.get(name), list):
            found[name] = [_device(item, new) for item in row[name]]
    mapped, addresses = row.get("sglang_rdma_device_map"), row.get("sglang_rail_addresses")
    if isinstance(mapped, Mapping):
        found["sglang_rdma_device_map"] = {
            gpu: ",".join(_device(name, new) for name in names.split(",")) if isinstance(names, str) else names
            for gpu, names in mapped.items()
        }
    if isinstance(addresses, Mapping):
        found["sglang_rail_addresses"] = {new.get(device, device): address for device, address in addresses.items()}
    return {name: value for name, value in found.items() if value != row[name]}
