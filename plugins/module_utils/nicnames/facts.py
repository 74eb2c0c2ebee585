# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network devices as facts: what each is, which profiles are its own, and whether the controller is reached over it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Dict, List, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import look, look_files, look_net
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.look_profiles import manager, profiles
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Profile


def own_profiles(nic: Nic, known: Sequence[Profile]) -> List[Profile]:
    """Return the profiles that are active on a device or bound to it, by its name or by its address."""
    addresses = {address for address in (nic.permanent_mac or nic.mac,) if address}
    return [
        profile
        for profile in known
        if nic.name in (profile.device, profile.interface_name) or (not profile.interface_name and profile.mac_address in addresses)
    ]


def facts(nic: Nic, nics: Sequence[Nic], known: Sequence[Profile]) -> Dict[str, Any]:
    """Return the facts of one device; tuples become lists."""
    row: Dict[str, Any] = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(nic).items()}
    row["ports"] = [other.name for other in nics if other.master == nic.name]
    row["profiles"] = [asdict(profile) for profile in own_profiles(nic, known)]
    return row


def gather(root: Root, run: look.Runner) -> Tuple[List[Dict[str, Any]], Dict[str, str]]:
    """Return the facts of all devices, and the files that are there and could not be read.

    :param root: the running machine, or a tree that stands for one; then nothing is run and the kernel is not asked.
    """
    nics = look.managed(root, look_net.nics(root)[0])
    _runs, shown = manager(run) if root.live else (False, "")
    known = profiles(look_files.files(root, []).content, shown)
    return [facts(nic, nics, known) for nic in nics], dict(sorted(root.errors.items()))
