# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at a host: everything that the planners ask, and nothing that changes it."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import bridging, classes, files, modules, sysctls
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Bridge, ClassSeen, Record, Seen
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree, above, unfinished
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.views import CONFIGFS, view
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import PORTS, Port, Wanted, value_text

#: Runs a command; a program that is not there gives 127.
Runner = Callable[[List[str]], Tuple[int, str, str]]
SYSCTL_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
CLASS = re.compile(r"(?:Global )?tclass=(-?[0-9]{1,3})")
ROUTER = "sglang-router.service"


def own_paths(tree: Tree) -> List[str]:
    """Return every path of a name that is the role's."""
    return sorted({path for path in files.FIXED if tree.exists(path)} | set(tree.find(f"{files.UNITS}/*.d/{files.DROP_IN}")))


def sysctl_files(tree: Tree) -> Tuple[Tuple[str, str], ...]:
    """Return the other sysctl.d files with their texts, in the order in which systemd-sysctl applies them."""
    found: Dict[str, str] = {}
    for directory in reversed(SYSCTL_DIRECTORIES):
        found.update({path.rsplit("/", 1)[1]: path for path in tree.find(directory + "/*.conf") if not tree.directory(path)})
    found.pop(files.SYSCTL.rsplit("/", 1)[1], None)
    return tuple((found[name], tree.text(found[name]) or "") for name in sorted(found))


def serving(run: Runner) -> Tuple[str, ...]:
    """Return the units of engines that run, or are about to."""
    rc, out, _err = run(["systemctl", "show", "--property=Id,ActiveState", "sglang-*.service"])
    rows = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")] if rc == 0 else []
    states = ("active", "activating", "reloading", "deactivating")
    return tuple(sorted(row["Id"] for row in rows if row.get("ActiveState") in states and row["Id"] != ROUTER))


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "no words"


def bridge(run: Runner, netdev: str, tool: str) -> Bridge:
    """Return the settings of a network device.

    :param tool: the one that set it before, or an empty text: then NVIDIA's own where it is, since it knows more.
    """
    answers: Dict[str, Tuple[int, str, str]] = {}
    if tool != "dcb":
        answers["mlnx_qos"] = run(["mlnx_qos", "-i", netdev])
        if answers["mlnx_qos"][0] == 0:
            return bridging.parse_mlnx(answers["mlnx_qos"][1])
    if tool != "mlnx_qos":
        pfc = run(["dcb", "pfc", "show", "dev", netdev, "prio-pfc"])
        entries = run(["dcb", "-N", "app", "show", "dev", netdev, "dscp-prio"])
        answers["dcb"] = pfc
        if pfc[0] == 0 and entries[0] == 0:
            return bridging.parse_dcb(pfc[1], entries[1])
    there = {name: answer for name, answer in answers.items() if answer[0] != 127}
    if not there:
        return Bridge(error=f"{tool} is not on this host any more" if tool else bridging.NO_TOOL)
    words = "; ".join(f"{name} says: {_first_line(err or out)}" for name, (_rc, out, err) in there.items())
    hint = ". Fix: its driver has no data center bridging, or the device is not there: leave out rdma_trust, rdma_pfc and rdma_priority"
    return Bridge(next(iter(there)), error=words + hint)


def port_class(tree: Tree, port: Port) -> ClassSeen:
    """Return the traffic classes of a port.

    What rdma_cm takes can only be read through a directory that one makes in configfs. It is removed again, and changes nothing.
    """
    text = tree.text(classes.class_path(port))
    match = CLASS.search(text or "")
    driver: Optional[int] = None if text is None else int(match.group(1)) if match else -1
    managed: Optional[int] = None
    if tree.directory(CONFIGFS):
        try:
            with view(tree, port.device) as path:
                managed_text = tree.text(f"{path}/ports/{port.port}/default_roce_tos")
        except TimeoutError:
            raise
        except OSError:
            return ClassSeen(driver, None)
        managed = int(managed_text) if managed_text and managed_text.isdigit() else None
    return ClassSeen(driver, managed)


def _memlock(run: Runner, asked: bool) -> str:
    rc, out, _err = run(["systemctl", "show", "--property=DefaultLimitMEMLOCK", "--value"]) if asked else (1, "", "")
    return out.strip() if rc == 0 else ""


def look(tree: Tree, run: Runner, wanted: Wanted, record: Record, kernel: str) -> Seen:
    """Return what the planners ask of a host.

    :raises OSError: a file that is there cannot be read.
    """
    paths = own_paths(tree)
    drop_ins = [f"{files.UNITS}/{unit}.d/{files.DROP_IN}" for unit in wanted.drop_ins]
    every = [*paths, *files.FIXED, files.QOS_LINK, files.STATE, files.FORGETTING, *drop_ins, *record.get("files", [])]
    keys = {*wanted.sysctl, *wanted.least, *record.get("sysctl", {})}
    if wanted.reserved_ports or record.get("ports"):
        keys.add(PORTS)
    live = {key: tree.text(sysctls.path_of(key)) for key in keys}
    ports = {rail.name: rail for rail in wanted.rails} if wanted.traffic_class is not None else {}
    ports.update({name: classes.port_of(name) for name in record.get("classes", {})})
    bridges: Dict[str, Any] = record.get("bridges", {})
    netdevs = [*(rail.netdev for rail in wanted.rails if wanted.bridging), *bridges]
    target = tree.target(files.QOS_LINK)
    taken = target is None and tree.exists(files.QOS_LINK)
    return Seen(
        files={path: tree.read(path) or b"" for path in paths if tree.plain(path)},
        alien=tuple(path for path in paths if not tree.plain(path)) + ((files.QOS_LINK,) if taken else ()),
        links={} if target is None else {files.QOS_LINK: target},
        directories=tuple(sorted(path for path in above(every) if tree.directory(path))),
        leftovers=tuple(path for path in dict.fromkeys(map(unfinished, every)) if tree.exists(path)),
        forgetting=tree.exists(files.FORGETTING),
        sysctl={key: None if value is None else value_text(value) for key, value in live.items()},
        sysctl_files=sysctl_files(tree) if keys else (),
        modules={name: modules.parse_depends(*run(["modprobe", "--show-depends", name])) for name in wanted.modules},
        loaded=modules.parse_loaded(tree.text("/proc/modules") or ""),
        bridges={netdev: bridge(run, netdev, bridges.get(netdev, {}).get("tool", "")) for netdev in dict.fromkeys(netdevs)},
        netdevs=tuple(sorted({netdev for netdev in netdevs if tree.exists(f"/sys/class/net/{netdev}")})),
        classes={name: port_class(tree, port) for name, port in ports.items()},
        default_memlock=_memlock(run, bool(wanted.default_memlock)),
        serving=serving(run),
        kernel=kernel,
    )
