# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a lab's host: everything that a change of interface names could change there, as one JSON object.

Its parts: names, files, links, altnames, addresses, routes, rules, devices, profiles, rdma, bonds, units. Of a file: mode, owner and the
hash of its content. Left out is what changes by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

BELOW = ("/etc", "/var/lib/railyard.sglang")
LEFT_OUT = ("/etc/.pwd.lock", "/etc/ld.so.cache", "/var/lib/railyard.sglang/nic-names/undone.log")


def said(*words: str) -> str:
    """Return what a command says, nothing where it cannot be had."""
    return subprocess.run(words, check=False, capture_output=True, text=True).stdout


def answered(*words: str) -> list[dict[str, Any]]:
    """Return what a command says in JSON; an empty object among the rows is none."""
    return [row for row in json.loads(said(*words) or "[]") if row]


def files() -> dict[str, str]:
    """Return path to mode, owner and hash, or to where a link leads."""
    found = {}
    for below in BELOW:
        for directory, _directories, names in os.walk(below):
            for name in names:
                path = os.path.join(directory, name)
                if path in LEFT_OUT:
                    continue
                if os.path.islink(path):
                    found[path] = os.readlink(path)
                    continue
                about = os.lstat(path)
                digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
                found[path] = f"{about.st_mode & 0o7777:o} {about.st_uid}:{about.st_gid} {digest}"
    return found


def text(row: dict[str, Any]) -> str:
    """Return a row as one line."""
    return " ".join(f"{key} {value}" for key, value in sorted(row.items()))


def routes(family: str) -> list[str]:
    """Return the routes; the metric of those that come of addresses is NetworkManager's, by the order in which devices came."""
    kept = ("dst", "dev", "gateway", "table", "prefsrc", "metric", "scope", "type")
    rows = answered("ip", "-j", family, "route", "show", "table", "all")
    for row in rows:
        if row.get("protocol") == "kernel":
            row.pop("metric", None)
    return sorted(text({key: row[key] for key in kept if key in row}) for row in rows)


def rules(family: str) -> list[str]:
    """Return the routing rules."""
    return sorted(text({key: value for key, value in row.items() if key != "iif_detached"}) for row in answered("ip", "-j", family, "rule"))


def managed(fields: str, kind: str) -> dict[str, str]:
    """Return what NetworkManager has of a kind, the first field to the others; the loopback's profile is another one at each boot."""
    words = ("nmcli", "-t", "-f", fields, kind)
    now, before = said(*words), ""
    # Of a profile that NetworkManager is busy with nmcli may know nothing for a moment.
    for _attempt in range(10):
        before, now = now, said(*words)
        if now == before:
            break
    rows = (line.partition(":") for line in now.splitlines())
    return {key: rest for key, _colon, rest in rows if key != "lo" and not rest.startswith("lo:")}


def bonds() -> dict[str, dict[str, list[str]]]:
    """Return bond to its ports, its primary and its active one."""
    keys = ("slaves", "primary", "active_slave")
    found = Path("/sys/class/net").glob("*/bonding")
    return {each.parent.name: {key: sorted(each.joinpath(key).read_text().split()) for key in keys} for each in found}


def look() -> dict[str, Any]:
    """Return everything."""
    links = answered("ip", "-j", "-d", "link")
    names = {row["ifindex"]: row["ifname"] for row in links}
    rdma = answered("rdma", "-j", "link")
    return {
        # Of a bond's port ip shows the permanent address only where the address is another one.
        "names": {row.get("permaddr", row["address"]): row["ifname"] for row in links if "linkinfo" not in row or "parentdev" in row},
        "files": files(),
        "links": {
            row["ifname"]: [row["mtu"], row.get("master", ""), names.get(row.get("link_index"), row.get("link", "")), "UP" in row["flags"]]
            for row in links
        },
        "altnames": {row["ifname"]: sorted(row.get("altnames", [])) for row in links},
        "addresses": {
            row["ifname"]: sorted(f"{each['local']}/{each['prefixlen']}" for each in row["addr_info"])
            for row in answered("ip", "-j", "address")
        },
        "routes": sorted(routes("-4") + routes("-6")),
        "rules": sorted(rules("-4") + rules("-6")),
        "devices": managed("DEVICE,STATE,CON-UUID", "device"),
        "profiles": managed("UUID,NAME,FILENAME", "connection"),
        "rdma": {row["ifname"]: row["netdev"] for row in rdma},
        "bonds": bonds(),
        "units": said("systemctl", "list-units", "--all", "--state=loaded", "--plain", "--no-legend", "railyard-nic-names*").split(),
    }


if __name__ == "__main__":
    print(json.dumps(look()))
