# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of each file that the facts read, and how it is disguised: only what the facts take from it.

A file without a rule here is not kept at all, so that a new reader cannot give away what nobody has thought about.
"""

from __future__ import annotations

import gzip
import re
import shlex
import struct
import zlib
from typing import Callable, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import gids, net, pci, system, units
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.disguise import Disguise
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.extracts_net import ipv6_addresses, lines, local_addresses, routes

LONGEST = 256
# In place of what cannot be kept. It is no number and no name of anything.
BLOT = "?\n"
HARDWARE = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2})*")
GUID = re.compile(r"[0-9a-fA-F]{4}(?::[0-9a-fA-F]{4}){3}")
NVIDIA_KEYS = ("Model", "GPU UUID", "Device Minor")
KFD_KEYS = ("simd_count", "location_id", "domain", "unique_id", "drm_render_minor")
LIMITS = (("Service", "LimitMEMLOCK"), ("Manager", "DefaultLimitMEMLOCK"))

TextRule = Callable[[Disguise, str], str]
Rule = Callable[[Disguise, bytes], bytes]


def _as_it_is(disguise: Disguise, text: str) -> str:
    """A word or a number of the kernel or a driver."""
    plain = len(text) <= LONGEST and all(letter.isprintable() or letter.isspace() for letter in text) and text.isascii()
    return disguise.scan(text) if plain else BLOT


def _names(disguise: Disguise, text: str) -> str:
    return disguise.name(_as_it_is(disguise, text))


def _guid(disguise: Disguise, text: str) -> str:
    word = text.strip("\0 \t\r\n\v\f")
    return disguise.guid(word) + "\n" if GUID.fullmatch(word) else BLOT if word else text


def _gid(disguise: Disguise, text: str) -> str:
    word = text.strip("\0 \t\r\n\v\f").lower()
    return disguise.gid(word) + "\n" if gids.GID.fullmatch(word) else BLOT


def _hardware(disguise: Disguise, text: str) -> str:
    word = text.strip()
    return disguise.hardware(word) + "\n" if HARDWARE.fullmatch(word) else BLOT if word else text


def _serial(disguise: Disguise, text: str) -> str:
    return disguise.serial(text.strip("\0 \t\r\n\v\f")) + "\n"


def _representor(text: str) -> str:
    return text if net.REPRESENTOR.fullmatch(text.strip()) else "\n"


def _uevent(text: str) -> str:
    return lines([line for line in text.splitlines() if re.fullmatch("DEVTYPE=[a-z0-9_]{1,32}", line)])


def _command_line(disguise: Disguise, text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    names = [(word, word.partition("=")[0]) for word in words]
    kept = [word for word, name in names if name in system.TRAPS or name.endswith("iommu") or "hugepages" in name]
    return _as_it_is(disguise, " ".join(map(shlex.quote, kept)) + "\n")


def _flags(text: str) -> str:
    flags = re.search(r"^flags\s*:(.*)$", text[:16384], re.MULTILINE)
    return "" if not flags else "flags\t\t: hypervisor\n" if "hypervisor" in flags.group(1).split() else "flags\t\t:\n"


def _modules(disguise: Disguise, text: str) -> str:
    files = [line.partition(":")[0] for line in text.splitlines()]
    return lines([disguise.name(file) + ":" for file in files if system.PEERMEM_MODULE.search(file)])


def _config(text: str) -> str:
    if not text:
        return text
    return lines([f"{name}=y" if re.search(f"^{name}=y$", text, re.MULTILINE) else f"# {name} is not set" for name in system.CONFIG])


def _zipped_config(data: bytes) -> bytes:
    try:
        text = zlib.decompressobj(31).decompress(data, 1 << 22).decode("utf-8", "replace")
    except zlib.error:
        return b""
    return gzip.compress(_config(text).encode(), mtime=0)


def _nvidia_version(text: str) -> str:
    first = text.strip().partition("\n")[0]
    version = system.VERSION.search(first)
    kind = "Open Kernel Module for x86_64" if "Open Kernel Module" in first else "x86_64 Kernel Module"
    return f"NVRM version: NVIDIA UNIX {kind}  {version.group(1) if version else ''}\n" if first else ""


def _nvidia_gpu(disguise: Disguise, text: str) -> str:
    rows = [line.partition(":") for line in text.splitlines()]
    kept = [(name.strip(), value.strip()) for name, _colon, value in rows if name.strip() in NVIDIA_KEYS]
    return lines([f"{name}: {disguise.uuid(value) if name == 'GPU UUID' else disguise.scan(value)}" for name, value in kept])


def _kfd(disguise: Disguise, text: str) -> str:
    kept = []
    for line in text.splitlines():
        key, _space, value = line.partition(" ")
        if key in KFD_KEYS and re.fullmatch("[0-9]{1,20}", value.strip()):
            kept.append(f"{key} {disguise.serial_number(int(value)) if key == 'unique_id' else int(value)}")
    return lines(kept)


def _limits(disguise: Disguise, text: str) -> str:
    """The lines that say what may be locked into memory."""
    rows = [line.partition("#")[0].split() for line in text.splitlines()]
    return lines([f"{disguise.account(row[0])} {_as_it_is(disguise, ' '.join(row[1:]))}" for row in rows if row[2:3] == ["memlock"]])


def _unit(disguise: Disguise, text: str) -> str:
    rows = [f"[{section}]\n{name}={value}" for section, name, value in units.assignments(text) if (section, name) in LIMITS]
    return "".join(_as_it_is(disguise, f"{row}\n") for row in rows)


def _session(disguise: Disguise, text: str) -> str:
    return lines([_as_it_is(disguise, line) for line in text.splitlines() if line.startswith("Max locked memory")])


def _configuration_space(data: bytes) -> bytes:
    """The lists of capabilities, the kind of a port and its access control; serial numbers, too, are in that space."""
    new = bytearray(len(data))
    if len(data) <= 0x34:
        return bytes(new)
    new[0x34] = data[0x34]
    offset, seen = data[0x34] & 0xFC, 0
    while 0x40 <= offset <= len(data) - 4 and seen < 48:
        new[offset : offset + 2] = data[offset : offset + 2]
        if data[offset] == pci.CAPABILITY_PCIE:
            new[offset + 2] = data[offset + 2] & 0xF0
        offset, seen = data[offset + 1] & 0xFC, seen + 1
    offset, seen = 0x100, 0
    while 0x100 <= offset <= len(data) - 8 and seen < 256:
        new[offset : offset + 4] = data[offset : offset + 4]
        (header,) = struct.unpack_from("<I", data, offset)
        if header & 0xFFFF == pci.CAPABILITY_ACS:
            new[offset + 6 : offset + 8] = data[offset + 6 : offset + 8]
        offset, seen = header >> 20 & 0xFFC, seen + 1
    return bytes(new)


def _text(rule: TextRule) -> Rule:
    return lambda disguise, data: rule(disguise, data.decode("utf-8", "replace")).encode()


def _plain(rule: Callable[[str], str]) -> Rule:
    """Make a rule of one whose result names nothing."""
    return _text(lambda disguise, text: rule(text))


IN_PORT = r"/infiniband/[^/]+/ports/[0-9]+"
IN_UNITS = r"(?:/etc|/run|/usr/lib|/lib|/usr/local/lib)/systemd"
WORDS = (
    *("vendor", "device", "class", "numa_node", "current_link_speed", "current_link_width", "max_link_speed", "max_link_width"),
    *("sriov_numvfs", "product_name", "node_type", "fw_ver", "hw_rev", "hca_type", "board_id", "mtu", "operstate", "speed", "dev_port"),
)
RULES: Tuple[Tuple[str, Rule], ...] = (
    (rf"/sys/.*{IN_PORT}/gids/[0-9]+", _text(_gid)),
    (rf"/sys/.*{IN_PORT}/gid_attrs/ndevs/[0-9]+", _text(_names)),
    (rf"/sys/.*{IN_PORT}/(?:state|phys_state|rate|link_layer|lid|sm_lid|gid_attrs/types/[0-9]+)", _text(_as_it_is)),
    (r"/sys/.*/(?:node_guid|sys_image_guid)", _text(_guid)),
    (r"/sys/.*/(?:parent|ibdev|bonding/slaves|bonding/active_slave)", _text(_names)),
    (r"/sys/.*/tc/[0-9]+/traffic_class", _text(_as_it_is)),
    (rf"/sys/.*/(?:{'|'.join(WORDS)}|bonding/mode|qos/(?:trust|pfc)|ecn/roce_[nr]p/enable/[0-7])", _text(_as_it_is)),
    (r"/sys/.*/net/[^/]+/address", _text(_hardware)),
    (r"/sys/.*/net/[^/]+/phys_port_name", _plain(_representor)),
    (r"/sys/.*/net/[^/]+/uevent", _plain(_uevent)),
    (r"/sys/.*/unique_id", _text(_serial)),
    (r"/sys/.*/config", lambda disguise, data: _configuration_space(data)),
    (r"/sys/.*/topology/nodes/[0-9]+/properties", _text(_kfd)),
    (r"/sys/.*/iommu_groups/[0-9]+/type", _text(_as_it_is)),
    (r"/sys/.*/hugepages-[0-9]+kB/(?:nr|free)_hugepages", _text(_as_it_is)),
    (r"/sys/(?:module/[a-z_]+/version|kernel/mm/transparent_hugepage/enabled)", _text(_as_it_is)),
    (r"/proc/sys/kernel/osrelease", _text(_names)),
    (r"/proc/cmdline", _text(_command_line)),
    (r"/proc/cpuinfo", _plain(_flags)),
    (r"/proc/kallsyms", _text(_as_it_is)),
    (r"/proc/config\.gz", lambda disguise, data: _zipped_config(data)),
    (r"/proc/driver/nvidia/version", _plain(_nvidia_version)),
    (r"/proc/driver/nvidia/gpus/[^/]+/information", _text(_nvidia_gpu)),
    (r"/proc/(?:self/)?limits", _text(_session)),
    (r"/proc/(?:self/)?net/route", _text(routes)),
    (r"/proc/(?:self/)?net/fib_trie", _text(local_addresses)),
    (r"/proc/(?:self/)?net/if_inet6", _text(ipv6_addresses)),
    (r"(?:/usr)?/lib/modules/[^/]+/modules\.dep", _text(_modules)),
    (r"/boot/config-[^/]+|(?:/usr)?/lib/modules/[^/]+/config", _plain(_config)),
    (rf"{IN_UNITS}/.*\.(?:service|conf)", _text(_unit)),
    (r"/etc/security/limits\.(?:conf|d/[^/]+\.conf)", _text(_limits)),
)
COMPILED = tuple((re.compile(pattern), rule) for pattern, rule in RULES)


def extract(disguise: Disguise, place: str, data: bytes) -> Optional[bytes]:
    """Return what is kept of a file, disguised; None where there is no rule for it."""
    rule = next((rule for pattern, rule in COMPILED if pattern.fullmatch(place)), None)
    return None if rule is None else rule(disguise, data)


def shown(directory: str, name: str) -> bool:
    """Return whether a name in a directory is kept though nothing was read below it; of those that people give, only what is needed."""
    return directory.startswith(("/sys", "/proc", "/dev")) or name.endswith(".conf")
