# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module host_firewall on a network and a file system of its own, and tells by JSON what came of it.

    unshare --net --mount python live_nft.py DIRECTORY

Rules, packets and files are real. systemd is not here: what stands for it takes orders and loads the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ORDERS = """\
#!/bin/sh
echo "${0##*/} $*" >> @LOG@
case "$*" in *reload-or-restart*) nft -f /etc/railyard-sglang.nft ;; esac
"""
DIAL = """\
import socket, sys
try:
    socket.create_connection(("203.0.113.10", int(sys.argv[2])), 3, (sys.argv[1], 0)).close()
    print("open")
except OSError as error:
    print(error.strerror or "timed out")
"""
PEER, STRANGER = "203.0.113.110", "203.0.113.99"
PLANNED, OTHER, SSH = 8998, 1234, 22
#: What firewalld has, and what shuts everything out there.
FIREWALLD = "add table inet firewalld; add chain inet firewalld filter_INPUT { type filter hook input priority 10; }; "
FIREWALLD += "add rule inet firewalld filter_INPUT meta l4proto tcp reject"
JOURNAL = "/var/lib/railyard.sglang/nic-names/pending/journal.json"


def sh(command: str) -> str:
    """Run a command and return its output."""
    return subprocess.run(["sh", "-ec", command], check=True, capture_output=True, text=True).stdout


def prepare(directory: Path) -> None:
    """Lay /etc and /var/lib over the machine's own, and make a host, its peer and what listens."""
    sh(f"mount -t tmpfs none {directory}")
    for path in ("etc", "var/lib"):
        upper, work = directory / path.replace("/", "-") / "upper", directory / path.replace("/", "-") / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        sh(f"mount -t overlay overlay -o lowerdir=/{path},upperdir={upper},workdir={work} /{path}")
    # What this machine has of our own does not count; it is under the layer and stays.
    sh("rm -rf /var/lib/railyard.sglang")
    programs = directory / "bin"
    programs.mkdir()
    for name in ("systemctl",):
        (programs / name).write_text(ORDERS.replace("@LOG@", str(directory / "orders")), encoding="utf-8")
        (programs / name).chmod(0o755)
    os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    sh("mkdir -p /etc/systemd/system && mount -t tmpfs none /run && mkdir -p /run/netns")
    sh("ip link set lo up && ip netns add peer && ip link add fab0 type veth peer name peer0 netns peer")
    sh("ip address add 203.0.113.10/24 dev fab0 && ip link set fab0 up && ip netns exec peer ip link set peer0 up")
    sh("ip link add mgmt0 type veth peer name mgmt1 && ip address add 198.51.100.10/24 dev mgmt0 && ip link set mgmt0 up")
    for address in (PEER, STRANGER):
        sh(f"ip netns exec peer ip address add {address}/24 dev peer0")


def dial(source: str, port: int) -> str:
    """Return what becomes of a connection from the peer's network."""
    return sh(f"ip netns exec peer {sys.executable} -c '{DIAL}' {source} {port}").strip()


def reached() -> list[str]:
    """Return what becomes of a planned connection, of one from a stranger, and of one to a port that is not planned."""
    return [dial(PEER, PLANNED), dial(STRANGER, PLANNED), dial(PEER, OTHER)]


def files() -> dict[str, str]:
    """Return what is there of our own."""
    names = sh("find /etc /var/lib -path '*railyard*' -type f").split()
    return {name: str(len(Path(name).read_bytes())) for name in sorted(names)}


def main(directory: Path) -> dict[str, Any]:
    """Go through a change, its confirmation, another change that is undone, and the way back."""
    from ansible_collections.railyard.sglang.plugins.modules import host_firewall
    from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostfirewall.filtered_host import options
    from ansible_collections.railyard.sglang.tests.unit.support import modules

    prepare(directory)
    listeners = [subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind", "203.0.113.10"], cwd=directory,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for port in (PLANNED, OTHER, SSH)]
    try:
        listen = " && ".join(f"ss -Hltn | grep -q :{port}" for port in (PLANNED, OTHER, SSH))
        sh(f"for i in $(seq 100); do {listen} && exit 0; sleep 0.1; done; exit 1")
        return _steps(host_firewall.main, options(provider="nftables"), modules.run)
    finally:
        for listener in listeners:
            listener.kill()


def _steps(module: Any, given: dict[str, Any], run: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"before": files(), "reached before": reached()}
    found["check"] = run(module, given, check=True)
    found["after check"] = files()
    found["change"] = run(module, given)
    found["reached"] = reached()
    found["confirm"] = run(module, {"confirm": found["change"].get("transaction", "")})
    found["again"] = run(module, given)
    found["check again"] = run(module, given, check=True)
    more = {**given, "also": [{"port": str(OTHER), "scope": "fabric"}]}
    # A renaming of nic_names that nobody has confirmed yet.
    sh(f"mkdir -p $(dirname {JOURNAL}) && echo '{{\"id\": \"0a1b2c3d4e5f\"}}' > {JOURNAL}")
    settled = files()
    found["names are open"] = [run(module, more, check=True), run(module, more), run(module, given)]
    found["touched while names are open"] = files() != settled
    sh("rm -r /var/lib/railyard.sglang/nic-names")
    found["more"] = run(module, more)
    found["reached more"] = reached()
    # The last resort of an undo that fails, twice.
    sh(f"nft '{FIREWALLD}'")
    found["ssh while it is shut out"] = dial(PEER, SSH)
    for _time in range(2):
        sh("/bin/sh /var/lib/railyard.sglang/firewall/undo.sh open")
    found["ssh let in"] = [dial(PEER, SSH), dial(PEER, OTHER), sh("nft list ruleset").count("railyard-last-resort")]
    sh("nft delete table inet firewalld")
    sh("/bin/sh /var/lib/railyard.sglang/firewall/undo.sh")
    found["reached after the undo"] = reached()
    found["too late"] = run(module, {"confirm": found["more"].get("transaction", "")})
    found["after the undo"] = run(module, given)
    told = {"undo": run(module, more)["transaction"]}
    found["told to undo"] = [run(module, told, check=True), run(module, told), run(module, told)]
    found["reached after it"] = reached()
    found["forgotten"] = run(module, more)
    found["after one that was forgotten"] = run(module, {**given, "state": "absent"})
    run(module, {"confirm": found["after one that was forgotten"].get("transaction", "")})
    found["after"] = files()
    found["reached after"] = reached()
    found["rules after"] = sh("nft list ruleset")
    found["orders"] = (Path(os.environ["PATH"].split(":")[0]).parent / "orders").read_text(encoding="utf-8").splitlines()
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
