# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a lab beside its hosts' roots: directories, keys, records, the ssh client's settings."""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.lab import hostfiles
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import (
    NAMESPACES,
    Record,
    make_directories,
    register_entry,
    write_atomically,
)


def write_state(lab: Lab, record: Record, owner: int) -> None:
    """Write the lab's directories, keys and records; what the ssh client and the user's runs need is the owner's."""
    paths = lab.paths
    wanted = [paths.cache, paths.labs, paths.state, paths.state / "hosts"]
    wanted += sorted({Path(bind.src) for host in record.hosts for bind in host.binds})
    for directory in wanted:
        make_directories(directory, owner)
    paths.registered.mkdir(parents=True, exist_ok=True)
    write_atomically(paths.registered / "lab.json", register_entry(paths, record))
    paths.control.mkdir(mode=0o700, exist_ok=True)
    os.chown(paths.control, owner, -1)
    make_key(lab, paths.state / "key", f"lab {record.name}", owner)
    host_keys = {}
    for host in record.hosts:
        directory = paths.host(host.name)
        directory.mkdir(exist_ok=True)
        make_key(lab, directory / "ssh_host_ed25519_key", host.name, 0)
        host_keys[host.name] = (directory / "ssh_host_ed25519_key.pub").read_text(encoding="ascii")
    write_atomically(paths.state / "known_hosts", hostfiles.known_hosts(record, host_keys))
    write_atomically(paths.ssh_config, hostfiles.ssh_config(paths, record))
    write_atomically(paths.state / "namespace", f"{NAMESPACES / paths.switch_namespace}\n")
    write_atomically(paths.record, record.to_json())


def make_key(lab: Lab, path: Path, comment: str, owner: int) -> None:
    """Make an ssh key pair, whose private key is the owner's, unless it is there."""
    if not path.exists():
        path.with_suffix(".pub").unlink(missing_ok=True)
        demand(
            lab.run,
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
            "make an ssh key",
        )
        os.chown(path, owner, -1)
