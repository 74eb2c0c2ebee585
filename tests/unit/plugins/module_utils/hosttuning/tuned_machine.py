# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine in a directory, with programs that behave as modprobe, rmmod, dcb, mlnx_qos, systemctl and udevadm are described to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import apply, files, parameters
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.plan import Plan
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.tree import Tree, unfinished
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import Wanted

KERNEL = "6.1.0-56-amd64"
#: Module to what it needs, in the order of loading.
MODULES = {
    "ib_core": [],
    "ib_umad": ["ib_core"],
    "ib_cm": ["ib_core"],
    "rdma_cm": ["ib_core", "ib_cm"],
    "rdma_ucm": ["ib_core", "ib_cm", "rdma_cm"],
}
SETTINGS = {
    "vm/max_map_count": "65530",
    "net/core/rmem_max": "212992",
    "net/ipv4/tcp_rmem": "4096\t131072\t6291456",
    "net/ipv4/ip_local_reserved_ports": "5000",
    "net/ipv4/conf/ens1/arp_ignore": "0",
    "net/ipv4/conf/ens1/arp_announce": "0",
    "net/ipv4/conf/ens2.100/arp_ignore": "0",
    "net/ipv4/conf/ens2.100/arp_announce": "0",
}
RAILS = [{"device": "mlx5_0", "port": 1, "netdev": "ens1", "gpus": [0]}, {"device": "mlx5_1", "port": 1, "netdev": "ens2.100", "gpus": [1]}]


class Killed(BaseException):
    """The process is gone."""


class Machine(Tree):
    """The machine, and what was run on it.

    :ivar left: number of effects until the process is killed, None for never.
    :ivar loaded: modules that are loaded.
    :ivar ports: network device to trust, flow control and DSCP map.
    """

    def __init__(self, root: Path, tool: str = "dcb", driver_class: bool = False, loaded: Sequence[str] = ("ib_core", "ib_cm", "rdma_cm")):
        super().__init__(str(root))
        self.left: Optional[int] = None
        self.tool = tool
        self.loaded = list(loaded)
        self.users: dict[str, int] = {}
        self.serving: list[str] = []
        self.memlock = "8388608"
        self.commands: list[list[str]] = []
        code_map = {code: code >> 3 for code in range(64)} if tool == "mlnx_qos" else {}
        self.ports: dict[str, dict[str, Any]] = {name: {"trust": "pcp", "pfc": [], "map": dict(code_map)} for name in ("ens1", "ens2.100")}
        for directory in ("etc/sysctl.d", "etc/systemd/system/multi-user.target.wants", "etc/modules-load.d", "var/lib", "proc", "run"):
            (root / directory).mkdir(parents=True)
        for name in self.ports:
            (root / "sys/class/net" / name).mkdir(parents=True)
        for key, value in SETTINGS.items():
            self._file(f"proc/sys/{key}", value + "\n")
        for device in ("mlx5_0", "mlx5_1"):
            self._file(f"sys/kernel/config/rdma_cm/{device}/ports/1/default_roce_tos", "0\n")
            if driver_class:
                self._file(f"sys/class/infiniband/{device}/tc/1/traffic_class", "")
        self._file("etc/sysctl.d/10-theirs.conf", "net.ipv4.ip_local_reserved_ports = 5000\n")
        self._file("etc/modules-load.d/theirs.conf", "# empty\n")

    def _file(self, path: str, text: str) -> None:
        place = Path(self.base, path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def _effect(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    # --- files

    def settle(self, handle: int) -> None:
        """The process dies here, not the machine."""

    def read(self, path: str) -> Optional[bytes]:
        if path == "/proc/modules":
            holders = {name: [other for other in self.loaded if name in MODULES[other]] for name in self.loaded}
            rows = (
                f"{name} 16384 {len(holders[name]) + self.users.get(name, 0)} {','.join(holders[name]) or '-'} Live 0x0"
                for name in self.loaded
            )
            return "\n".join(rows).encode()
        return super().read(path)

    def write(self, path: str, content: bytes, mode: int = 0o644) -> None:
        try:
            self._effect()
        except Killed:
            # The worst moment: half of it is there.
            self.make(str(Path(path).parent))
            Path(self.real(unfinished(path))).write_bytes(content[: len(content) // 2])
            raise
        super().write(path, content, mode)

    def put(self, path: str, content: bytes) -> None:
        self._effect()
        text = content.decode().strip()
        if path.endswith("traffic_class"):
            text = f"Global tclass={text}" if int(text) >= 0 else ""
        super().put(path, (text + "\n").encode())

    def remove(self, path: str) -> None:
        if self.exists(path):
            self._effect()
        super().remove(path)

    def remove_directory(self, path: str) -> None:
        self._effect()
        super().remove_directory(path)

    # --- programs

    def run(self, argv: list[str]) -> tuple[int, str, str]:
        """Run a command as the injected runner does."""
        self.commands.append(argv)
        if argv[:2] == ["systemctl", "show"]:
            if "DefaultLimitMEMLOCK" in argv[2]:
                return 0, self.memlock + "\n", ""
            return 0, "\n\n".join(f"Id={name}\nActiveState=active" for name in self.serving), ""
        if argv[:2] == ["modprobe", "--show-depends"]:
            name = argv[2]
            if name not in MODULES:
                return 1, "", f"modprobe: FATAL: Module {name} not found in directory /lib/modules/{KERNEL}"
            return 0, "".join(f"insmod /lib/modules/{KERNEL}/kernel/{item}.ko\n" for item in [*MODULES[name], name]), ""
        if argv[0] in ("mlnx_qos", "dcb"):
            return self._bridging(argv)
        self._effect()
        if argv[0] == "modprobe":
            self.loaded += [item for item in [*MODULES[argv[1]], argv[1]] if item not in self.loaded]
        elif argv[0] == "rmmod":
            assert not [other for other in self.loaded if argv[1] in MODULES[other]]
            self.loaded.remove(argv[1])
        elif argv == ["systemctl", "daemon-reload"]:
            self.memlock = "infinity" if self.read(files.MANAGER) else "8388608"
        else:
            assert argv == ["udevadm", "control", "--reload"], argv
        return 0, "", ""

    def _bridging(self, argv: list[str]) -> tuple[int, str, str]:
        if argv[0] != self.tool:
            return 127, "", "not found"
        name = argv[2] if self.tool == "mlnx_qos" else argv[argv.index("dev") + 1]
        if name not in self.ports:
            return 1, "", f'Device "{name}" not found' if self.tool == "mlnx_qos" else "Attribute read: Operation not supported"
        return (self._mlnx if self.tool == "mlnx_qos" else self._dcb)(argv, self.ports[name])

    def _mlnx(self, argv: list[str], port: dict[str, Any]) -> tuple[int, str, str]:
        if len(argv) > 3:
            self._effect()
        for option, value in zip(argv[3::2], argv[4::2]):
            if option == "--trust":
                port["trust"] = value
            elif option == "--pfc":
                port["pfc"] = [number for number, flag in enumerate(value.split(",")) if flag == "1"]
            else:
                assert option == "--dscp2prio"
                code, number = value.removeprefix("set,").split(",")
                port["map"][int(code)] = int(number)
        rows = [[code for code, prio in port["map"].items() if prio == number] for number in range(8)]
        shown = "".join(f"\tprio:{number} dscp:{''.join(f'{code:02},' for code in row)}\n" for number, row in enumerate(rows) if row)
        flags = "   ".join("1" if number in port["pfc"] else "0" for number in range(8))
        text = f"DCBX mode: OS controlled\nPriority trust state: {port['trust']}\n"
        text += f"dscp2prio mapping:\n{shown}" if port["trust"] == "dscp" else ""
        return 0, f"{text}Cable len: 7\nPFC configuration:\n\tpriority    0   1   2   3   4   5   6   7\n\tenabled     {flags}   \n", ""

    def _dcb(self, argv: list[str], port: dict[str, Any]) -> tuple[int, str, str]:
        words = [word for word in argv[1:] if word != "-N"]
        if words[1] == "show":
            if words[0] == "pfc":
                return 0, "prio-pfc " + " ".join(f"{number}:{'on' if number in port['pfc'] else 'off'}" for number in range(8)) + "\n", ""
            rows = " ".join(f"{code}:{number}" for code, number in sorted(port["map"].items()))
            return 0, f"dscp-prio {rows}\n" if rows else "", ""
        self._effect()
        values = dict(pair.split(":") for pair in words[5:])
        if words[0] == "pfc":
            port["pfc"] = [int(number) for number, flag in values.items() if flag == "on"]
            return 0, "", ""
        if words[1] == "flush":
            port["map"] = {}
        elif words[1] == "del":
            for code in values:
                del port["map"][int(code)]
        else:
            # The kernel's mlx5 driver adds an entry for every DSCP with the first one.
            port["map"] = {
                **(port["map"] or {code: code >> 3 for code in range(64)}),
                **{int(code): int(number) for code, number in values.items()},
            }
        return 0, "", ""

    # --- what a test does

    def plan(self, wanted: Wanted) -> Plan:
        """Return the plan for a set."""
        return apply.prepare(self, self.run, wanted, KERNEL)

    def apply(self, wanted: Wanted) -> Plan:
        """Apply a set, without asking for consent, and see that nothing remains to be done."""
        made = self.plan(wanted)
        assert made.faults == []
        if made.changed:
            apply.carry_out(self, self.run, made)
        assert apply.remaining(self, self.run, wanted, KERNEL) == []
        assert not self.plan(wanted).changed
        return made

    def state(self) -> dict[str, Any]:
        """Return everything that a set could have changed; what is below /run is gone after a boot."""
        found: dict[str, Any] = {"loaded": sorted(self.loaded), "ports": json.loads(json.dumps(self.ports)), "memlock": self.memlock}
        for path in sorted(Path(self.base).rglob("*")):
            name = str(path.relative_to(self.base))
            if name.startswith("run/"):
                continue
            found[name] = (
                f"-> {path.readlink()}" if path.is_symlink() else "directory" if path.is_dir() else path.read_text(encoding="utf-8").split()
            )
        return found


def wanted(**more: Any) -> Wanted:
    """Return a set from the module's parameters."""
    found, faults = parameters.build({"traffic_class": -1, **more})
    assert faults == []
    return found


FULL: Mapping[str, Any] = {
    "modules": ["ib_umad"],
    "sysctl": {"net.core.rmem_max": 4194304, "net.ipv4.tcp_rmem": "4096 131072 16777216"},
    "sysctl_least": {"vm.max_map_count": 16777216},
    "rail_sysctl": {"arp_ignore": 1, "arp_announce": 2},
    "reserved_ports": ["30000", "15000-17000"],
    "limits": [{"domain": "*", "type": "-", "item": "memlock", "value": "unlimited"}],
    "udev_rules": ['ACTION=="add", SUBSYSTEM=="net", KERNEL=="ens1", ATTR{tx_queue_len}="10000"'],
    "drop_ins": {"user@.service": {"Service": {"LimitMEMLOCK": "infinity"}}},
    "default_memlock": "infinity",
    "rails": RAILS,
    "trust": "dscp",
    "pfc": [3],
    "priority": 3,
    "traffic_class": 106,
}
