# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the host tuning keeps its files, how they are told from others, and what they hold."""

from __future__ import annotations

import re
from typing import Dict, List, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Port, Wanted

SIGN = b"# Managed by railyard.sglang, role rdma."
MARK = SIGN.decode() + " Change the inventory and run site.yml --tags rdma; rdma_state: absent takes it away."
STATE = "/var/lib/railyard.sglang/tuning.json"
STATE_DIRECTORY = "/var/lib/railyard.sglang"
#: There while the record's directory, which was made for it, is about to go: without a record nothing else would tell whose it is.
FORGETTING = "/var/lib/.railyard.sglang.forgetting"

LIMITS = "/etc/security/limits.d/90-railyard-rdma.conf"
MODULES = "/etc/modules-load.d/90-railyard-rdma.conf"
SYSCTL = "/etc/sysctl.d/90-railyard-rdma.conf"
UDEV = "/etc/udev/rules.d/90-railyard-rdma.rules"
MANAGER = "/etc/systemd/system.conf.d/90-railyard-rdma.conf"
UNITS = "/etc/systemd/system"
QOS = "railyard-rdma-qos.service"
QOS_PORT = "railyard-rdma-qos@.service"
QOS_SCRIPT = f"{UNITS}/{QOS}.d/railyard-rdma-qos.sh"
#: How systemd enables the unit; made and removed here, so that one look at the files tells what is there.
QOS_LINK = f"{UNITS}/multi-user.target.wants/{QOS}"
#: Where it may lead: as it is made here, and as systemctl of newer systemd makes it.
QOS_TARGETS = (f"{UNITS}/{QOS}", f"../{QOS}")
#: Who makes a view of a device in configfs holds it.
QOS_LOCK = "/run/railyard-rdma-qos.lock"
DROP_IN = "90-railyard-rdma.conf"
#: Engines start after the ports are set: systemd applies this directory to every unit whose name begins with sglang-.
#: Not by DROP_IN, which an operator's drop-in for that directory has.
ENGINES = f"{UNITS}/sglang-.service.d/90-railyard-rdma-qos.conf"

FIXED = (LIMITS, MODULES, SYSCTL, UDEV, MANAGER, f"{UNITS}/{QOS}", f"{UNITS}/{QOS_PORT}", QOS_SCRIPT, ENGINES)

REASONS = {
    "vm.max_map_count": "each registration of memory may split a mapping (failure D30, Mooncake issues 1382 and 3639)",
    "net.ipv4.ip_local_reserved_ports": "the kernel gives none of these ports to an outgoing connection (failure D39)",
    "arp_ignore": "a rail answers for its own address only, not for those of the host's other rails",
    "arp_announce": "a rail asks by its own address only",
}

_UNIT = """{mark}
[Unit]
Description=Traffic class, trust and flow control of RDMA ports{title}
After=systemd-modules-load.service sys-kernel-config.mount

[Service]
Type=oneshot
ExecStart=/bin/sh {script}{argument}
TimeoutStartSec=180
{install}"""

_SCRIPT_HEAD = """{mark}
# Without an argument for all ports; with the name of an RDMA device for that one.
set -u
failed=0
run() {{ "$@" > /dev/null || {{ echo "failed: $*" >&2; failed=1; }}; }}
put() {{ echo "$2" > "$1" || failed=1; }}
# A directory in configfs is a view of the device: what was written through it stays. One at a time makes and removes it.
tos() {{
  view=/sys/kernel/config/rdma_cm/$1 made=
  exec 9> {lock} && flock 9
  [ -d "$view" ] || {{ mkdir "$view" && made=1; }}
  put "$view/ports/$2/default_roce_tos" "$3"
  [ -z "$made" ] || rmdir "$view"
  exec 9>&-
}}
only=${{1:-}} ready="" missing=""
# Function, RDMA device and network device: set now if both are there and it was not set yet.
port() {{
  [ "${{only:-$2}}" = "$2" ] || return 0
  case "$ready " in *" $1 "*) return 0 ;; esac
  if [ -e "/sys/class/infiniband/$2" ] && [ -e "/sys/class/net/$3" ]; then
    ready="$ready $1"
    "$1"
  else
    missing="$missing; no RDMA device $2 with network device $3"
  fi
}}
"""
# The ports that are there come first, and all the others share one minute.
_SCRIPT_END = """left=60
while ports; [ -n "$missing" ] && [ "$left" -gt 0 ]; do
  left=$((left - 1))
  sleep 1
done
[ -z "$missing" ] || { echo "${missing#; }" >&2; failed=1; }
exit $failed
"""


def marked(text: bytes) -> bool:
    """Whether a file is the role's own."""
    return text.startswith(SIGN)


def _reason(key: str) -> str:
    return REASONS.get(key) or REASONS.get(re.split("[./]", key)[-1], "")


def sysctl_text(values: Dict[str, str]) -> str:
    """Return the sysctl.d file."""
    lines, last = [MARK], ""
    for reason, key in sorted((_reason(key), key) for key in values):
        lines += [f"# {reason}"] if reason not in ("", last) else []
        lines.append(f"{key} = {values[key]}")
        last = reason
    return "\n".join([*lines, ""])


def _limits(wanted: Wanted) -> str:
    lines = [f"{row.domain} {row.kind} {row.item} {row.value}" for row in wanted.limits]
    return "\n".join([MARK, "# For logins. Services have their own limits: LimitMEMLOCK of the unit.", *lines, ""])


def _udev(wanted: Wanted, ports: Sequence[Port]) -> str:
    lines = [MARK]
    if ports:
        lines.append("# A driver that is loaded again, or a reset card, has lost its settings.")
    lines += [
        f'ACTION=="add|move", SUBSYSTEM=="infiniband", KERNEL=="{name}", TAG+="systemd", '
        f'ENV{{SYSTEMD_WANTS}}+="railyard-rdma-qos@{name}.service"'
        for name in dict.fromkeys(port.device for port in ports)
    ]
    return "\n".join([*lines, *wanted.udev_rules, ""])


def _drop_in(sections: Dict[str, Dict[str, str]]) -> str:
    lines = [MARK]
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key}={value}" for key, value in values.items())]
    return "\n".join([*lines, ""])


def _qos(commands: Dict[Port, List[str]]) -> Dict[str, str]:
    """Return the units and the script that set the ports at each boot.

    :param commands: shell commands of each port.
    """
    script = [_SCRIPT_HEAD.format(mark=MARK, lock=QOS_LOCK)]
    for number, lines in enumerate(commands.values()):
        script += [f"set_{number}() {{", *(f"  {line}" for line in lines), "}"]
    script += ["ports() {", '  missing=""']
    script += [f"  port set_{number} {port.device} {port.netdev}" for number, port in enumerate(commands)]
    script += ["}", _SCRIPT_END]
    install = "\n[Install]\nWantedBy=multi-user.target\n"
    shared = {"mark": MARK, "script": QOS_SCRIPT}
    return {
        QOS_SCRIPT: "\n".join(script),
        f"{UNITS}/{QOS}": _UNIT.format(title="", argument="", install=install, **shared),
        f"{UNITS}/{QOS_PORT}": _UNIT.format(title=" of %i", argument=" %i", install="", **shared),
        # Without Wants: a start of an engine must not set ports again under the others.
        ENGINES: _drop_in({"Unit": {"After": QOS}}),
    }


def files(wanted: Wanted, sysctl: Dict[str, str], modules: Sequence[str], commands: Dict[Port, List[str]]) -> Dict[str, bytes]:
    """Return path to content of every file that the host should have.

    :param sysctl: the values for sysctl.d.
    :param modules: kernel modules for modules-load.d.
    :param commands: shell commands that set each port, none where nothing is to be set.
    """
    found: Dict[str, str] = {}
    if wanted.limits:
        found[LIMITS] = _limits(wanted)
    if modules:
        found[MODULES] = "\n".join([MARK, *modules, ""])
    if sysctl:
        found[SYSCTL] = sysctl_text(sysctl)
    if wanted.udev_rules or commands:
        found[UDEV] = _udev(wanted, list(commands))
    if wanted.default_memlock:
        found[MANAGER] = _drop_in({"Manager": {"DefaultLimitMEMLOCK": wanted.default_memlock}})
    for unit, sections in wanted.drop_ins.items():
        found[f"{UNITS}/{unit}.d/{DROP_IN}"] = _drop_in(sections)
    if commands:
        found.update(_qos(commands))
    return {path: text.encode() for path, text in found.items()}
