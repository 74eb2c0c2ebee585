# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the host firewall on a virtual machine have in common: runs of the stage, what is loaded, and who gets through."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from labkit import ROOT, Run
from nickit import HOST, MANAGEMENT, RAILS, NicLab
from stagekit import stage

STATE = "/var/lib/railyard.sglang/firewall"
#: What an undo leaves to be read.
UNDONE = f"{STATE}/undone"
ZONES = ("railyard-fabric", "railyard-mgmt")
#: By provider: the command that lists what the fabric's side lets in, and that of the management's.
LISTED = {
    "firewalld": [f"firewall-cmd --zone={zone} --list-rich-rules" for zone in ZONES],
    "nftables": [f"nft list chain inet railyard_sglang {chain}" for chain in ("fabric", "management")],
}
RULE = {
    "firewalld": re.compile(r'port port="(?P<port>[0-9-]+)" protocol="(?P<protocol>tcp|udp)" accept'),
    "nftables": re.compile(r"(?P<protocol>tcp|udp) dport (?P<port>[0-9-]+) .*\baccept"),
}
#: What the plan of the lab lets in on a prefill host: from other engines, and from the controller.
FABRIC = {("tcp", "30000"), ("tcp", "8998"), ("tcp", "15000-17000"), ("tcp", "32768-60999"), ("udp", "4791")}
SSH = {("tcp", "22")}
#: The address of a client that DHCP gives one, which nftables lets in on the management's side; firewalld has a service for it.
DHCP = {("udp", "546")}
#: Both ends of each range of the plan, and the ports beside them.
PLANNED = (30000, 8998, 15000, 17000, 32768, 60999)
OTHERS = (9100, 14999, 17001, 30001, 32767, 61000)
CONFIRM_SECONDS = 300
VARIABLES = {"network_firewall": True, "network_firewall_confirm_seconds": CONFIRM_SECONDS}


def filtered(host: NicLab, *words: str, **more: Any) -> Run:
    """Run the network stage with the host firewall asked for; see stagekit.stage."""
    return stage(host, *words, **{**VARIABLES, **more})


def answer(run: Run) -> dict[str, Any]:
    """Return what the module says of the change of a run; its confirmation comes after it."""
    found = [row["data"] for row in run.results if row["action"] == "railyard.sglang.host_firewall" and row["kind"] != "skipped"]
    assert found, run.output[-3000:]
    data: dict[str, Any] = found[0]
    return data


def module(host: NicLab, **options: Any) -> Run:
    """Run the module alone; nobody confirms what it does."""
    path = host.scratch / "firewall.yml"
    task = {"name": "Filter", "railyard.sglang.host_firewall": options}
    path.write_text(json.dumps([{"name": "Filter", "hosts": HOST, "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
    return host.play(playbook=str(path), variables={}, seconds=900)


# --- what is loaded


def start_firewalld(host: NicLab) -> None:
    """Start firewalld, now and at every boot, and wait until it has the interfaces that NetworkManager gives it."""
    # A power cut must not take it away again.
    host.ask("systemctl enable --now firewalld && sync", seconds=300)
    settled_zones(host, {"public": [MANAGEMENT, *RAILS]})


def zones_of(host: NicLab) -> dict[str, list[str]]:
    """Return the zones of firewalld that have interfaces, with these; nothing while it starts."""
    found: dict[str, list[str]] = {}
    zone = ""
    for line in host.ask("firewall-cmd --get-active-zones 2> /dev/null || true", seconds=180).splitlines():
        if not line.startswith(" "):
            zone = line.split()[0]
        elif line.strip().startswith("interfaces:"):
            found[zone] = sorted(name for name in line.split()[1:] if name != "lo")
    return found


def settled_zones(host: NicLab, wanted: Mapping[str, Sequence[str]], seconds: float = 240) -> None:
    """See that firewalld comes to have these interfaces in these zones."""
    expected = {zone: sorted(names) for zone, names in wanted.items()}
    until = time.monotonic() + seconds
    while (now := zones_of(host)) != expected:
        assert time.monotonic() < until, f"wanted {expected}, has {now}"
        time.sleep(2)


def filters(host: NicLab) -> list[str]:
    """Return what filters on the host: its tables, and all zones of firewalld where that runs; the order of interfaces means nothing."""
    text = host.ask("nft list tables; firewall-cmd --list-all-zones 2> /dev/null || true", seconds=180)
    return [" ".join(sorted(line.split())) for line in text.splitlines()]


def let_in(host: NicLab, provider: str) -> list[set[tuple[str, str]]]:
    """Return protocol and port of everything that is let in, on the fabric's side and on the management's."""
    texts = [host.ask(command, seconds=180) for command in LISTED[provider]]
    return [{(row["protocol"], row["port"]) for row in RULE[provider].finditer(text)} for text in texts]


def exactly_planned(host: NicLab, provider: str) -> None:
    """See that what is loaded is the plan's port table, and nothing else."""
    fabric, management = let_in(host, provider)
    assert fabric == FABRIC
    assert management == SSH | (DHCP if provider == "nftables" else set())


# --- who gets through


def listen(host: NicLab) -> None:
    """Let the host listen at all ports that are tried, planned or not; again after each boot."""
    ports = " ".join(map(str, [*PLANNED, *OTHERS]))
    program = host.program("listen_ports.py")
    host.ask(f"mkdir -p /run/listen && cat > /run/listen/listen.py <<'END'\n{program}\nEND")
    start = f"systemd-run --quiet --collect --unit=listen python3 /run/listen/listen.py /run/listen/ready {ports}"
    host.ask(f"systemctl is-active --quiet listen || {start}")
    host.ask("for _ in $(seq 300); do [ -e /run/listen/ready ] && exit 0; sleep 0.2; done; exit 1")


def addresses(host: NicLab) -> dict[str, str]:
    """Return the addresses between which is dialled; this machine gets those of the host that is not there, and a stranger's."""
    rails = host.nics()
    peer = host.inventory("d0")
    fabric: str = rails[0]["address"]
    network = fabric.rpartition(".")[0]
    found = {"host": fabric, "rail 3": rails[3]["address"], "management": host.inventory(HOST)["ansible_host"]}
    found["peer"], found["stranger"] = str(peer["sglang_fabric_address"]), f"{network}.1"
    found["stranger on rail 3"] = f"{found['rail 3'].rpartition('.')[0]}.1"
    found["controller"] = f"{found['management'].rpartition('.')[0]}.1"
    for name, rail in (("peer", 0), ("stranger", 0), ("stranger on rail 3", 3)):
        host.inside("address", "replace", f"{found[name]}/24", "dev", f"rail{rail}")
    return found


def dialled(host: NicLab) -> dict[str, str]:
    """Return what becomes of connections to the host, by who dials what; C(peer 30000) is that of another engine."""
    known = addresses(host)
    rows = {f"peer {port}": ["peer", "host", port] for port in (*PLANNED, *OTHERS, 22)}
    rows |= {f"stranger {port}": ["stranger", "host", port] for port in (30000, 32768, 9100)}
    rows |= {f"rail 3 {port}": ["stranger on rail 3", "rail 3", port] for port in (32768, 9100, 22)}
    rows |= {f"controller {port}": ["controller", "management", port] for port in (22, 30000, 32768, 9100)}
    given = [[known[source], known[target], port] for source, target, port in rows.values()]
    words = ["nsenter", f"--net=/run/netns/railyard-{host.name}", sys.executable, str(ROOT / "tests/lab/files/dial_ports.py")]
    done = subprocess.run(words, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return dict(zip(rows, json.loads(done.stdout)))


def everything_passes(host: NicLab) -> None:
    """See that nothing filters: all that listens can be reached from everywhere."""
    assert set(dialled(host).values()) == {"open"}


def only_planned_passes(host: NicLab, *more: str) -> None:
    """See that what the plan has passes, from those that it names, and nothing else does.

    :param more: what else does.
    """
    now = dialled(host)
    planned = {*(f"peer {port}" for port in PLANNED), "controller 22", *more}
    assert now == {name: "open" if name in planned else "closed" for name in now}
