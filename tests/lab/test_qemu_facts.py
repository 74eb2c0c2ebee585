# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rdma_facts on live hosts: against the usual tools, with links cut, addresses lost and moved, without privileges, and what it costs."""

from __future__ import annotations

import json
import re
import shlex
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from labkit import ROOT, wait_until
from qemukit import HOSTS, INTERFACES, QemuLab

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.replay import open_root
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support.unpacking import unpack_into

pytestmark = [pytest.mark.lab, pytest.mark.full]

DEVICES = [f"mlx5_{rail}" for rail in range(8)]
PLACE = "/opt/facts-test"
# Prints the facts of the host that it runs on as the module gathers them. Ansible takes ten times as long there, and is tried once.
PROGRAM = """
import json, sys
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import SUBSETS, gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
order = json.loads(sys.argv[1])
facts = gather(Root("/"), SUBSETS, order.get("use_netlink", True))
print(json.dumps({**facts, "selection": select(facts, Options(**order.get("selection", {})))}))
"""


def facts(lab: QemuLab, host: str, user: str = "root", **arguments: Any) -> dict[str, Any]:
    """Return what the host's facts are to a user."""
    program = f"PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={PLACE} runuser -u {user} -- python3 {PLACE}/look.py"
    told: dict[str, Any] = json.loads(lab.ssh(host, f"{program} {shlex.quote(json.dumps(arguments))}", seconds=120))
    return told


def ports(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the only port of each device."""
    return {device["name"]: device["ports"][0] for device in told["devices"]}


@contextmanager
def addresses(lab: QemuLab, host: str, rail: int) -> Iterator[tuple[str, str]]:
    """Give a rail's interface and address with prefix; put the address back where it was, alone, in the slot that it had."""
    row = lab.inventory(host)["lab_rails"][rail]
    name, address = row["interface"], f"{row['address']}/24"
    index = f"cat /sys/class/infiniband/mlx5_{rail}/ports/1/gids/1"
    before = lab.answer(host, index)
    try:
        yield name, address
    finally:
        gone = f"ip link del {name}.100; ip addr del fe80::1234/64 dev {name}; ip -4 addr flush dev {name}"
        lab.answer(host, f"({gone}) 2> /dev/null; ip addr add {address} brd + dev {name}")
        assert lab.becomes(host, index, before, 15)


@pytest.fixture(scope="module")
def copied(machines: QemuLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[QemuLab]:
    """Return the hosts with the code that reads facts, and its benchmark."""
    package = "ansible_collections/railyard/sglang/plugins/module_utils/hostfacts"
    support = "ansible_collections/railyard/sglang/tests/unit/support"
    look = tmp_path_factory.mktemp("program") / "look.py"
    look.write_text(PROGRAM, encoding="utf-8")
    files = {package: ROOT / "plugins/module_utils/hostfacts", f"{support}/sysfs.py": ROOT / "tests/unit/support/sysfs.py", "look.py": look}
    for host in HOSTS:
        machines.put(host, {**files, "bench.py": ROOT / "tests/bench/bench_rdma_facts.py"}, PLACE)
    yield machines
    for host in HOSTS:
        machines.ssh(host, f"rm -rf {PLACE}")


@pytest.mark.parametrize("host", HOSTS)
def test_every_device_is_what_it_is(host: str, copied: QemuLab) -> None:
    told = facts(copied, host)
    rails = copied.inventory(host)["lab_rails"]
    assert [device["name"] for device in told["devices"]] == DEVICES
    for device, rail in zip(told["devices"], rails):
        port = device["ports"][0]
        assert (device["protocol"], device["virtual"], device["pci"]) == ("roce", True, None)
        assert (device["parent"], device["parent_pci"], device["numa_node"]) == (rail["interface"], rail["pci"], rail["numa_node"])
        assert (port["state"], port["link_layer"], port["rate_gbps"], port["rate_true"]) == ("ACTIVE", "Ethernet", 2.5, False)
        assert (port["netdev"], port["netdev_mtu"], port["active_mtu"]) == (rail["interface"], 4200, 4096)
        assert f"{rail['address']}/24" in port["addresses"]
        # 3 is what guides tell people to set.
        assert (port["rocev2_gid_index"], port["nccl_auto_gid_index"]) == (1, 1)
        assert port["rocev2_gid"] == {"index": 1, "kind": "ipv4", "address": rail["address"], "ndev": rail["interface"]}
    assert {device["numa_node"] for device in told["devices"]} == {0, 1}
    assert told["selection"]["data_devices"] == DEVICES
    assert told["selection"]["uniform_gid_index"] == 1
    assert told["netns_mode"] == "shared"
    assert (told["gpus"], told["warnings"], told["errors"]) == ([], [], {})


def test_the_usual_tools_say_the_same(copied: QemuLab) -> None:
    told = facts(copied, "p0")
    links = {row["ifname"]: row for row in json.loads(copied.answer("p0", "rdma -j link"))}
    verbose = copied.answer("p0", "ibv_devinfo -v").split("hca_id:")[1:]
    for device, text in zip(told["devices"], verbose):
        port = device["ports"][0]
        assert text.split()[0] == device["name"]
        assert (links[device["name"]]["state"], links[device["name"]]["netdev"]) == (port["state"], port["netdev"])
        assert re.findall(r"node_guid:\s+(\S+)", text) == [device["node_guid"]]
        assert re.findall(r"active_mtu:\s+(\d+)", text) == [str(port["active_mtu"])]
        listed = re.findall(r"GID\[\s*(\d+)\]:\s+(\S+?),? ", text)
        assert [int(index) for index, _gid in listed] == [row["index"] for row in port["gids"]]
        assert {row["type"] for row in port["gids"]} == {"v2"}


def test_files_alone_tell_the_same_as_the_kernel(copied: QemuLab) -> None:
    asked, read = facts(copied, "p0"), facts(copied, "p0", use_netlink=False)
    assert read["selection"] == asked["selection"]
    # Addresses without a route of their own are not in files.
    assert {**read["interfaces"], "lo": None} == {**asked["interfaces"], "lo": None}
    for one, other in zip(asked["devices"], read["devices"]):
        assert {key for key in one if one[key] != other[key]} <= {"protocol"}, one["name"]
    assert (asked["netns_mode"], read["netns_mode"]) == ("shared", None)


def test_a_cut_link_is_noticed_and_its_return(copied: QemuLab) -> None:
    copied.set_link("d0", 3, up=False)
    try:
        wait_until(lambda: ports(facts(copied, "d0"))["mlx5_3"]["state"] == "DOWN", 60, "mlx5_3 is down")
        told = facts(copied, "d0", selection={"expected_devices": 8})
    finally:
        copied.set_link("d0", 3, up=True)
    chosen = told["selection"]
    assert chosen["data_devices"] == [name for name in DEVICES if name != "mlx5_3"]
    assert list(chosen["left_out"].items()) == [("mlx5_3:1", "DOWN, not ACTIVE")]
    assert any("expected_devices" in text for text in chosen["problems"]), chosen["problems"]
    # NetworkManager takes the address away with the carrier, and gives it back.
    wait_until(lambda: facts(copied, "d0")["selection"]["uniform_gid_index"] == 1, 90, "mlx5_3 is back")
    assert facts(copied, "d0")["selection"]["data_devices"] == DEVICES


def test_a_lost_address_is_noticed_and_an_index_that_moves(copied: QemuLab) -> None:
    with addresses(copied, "p0", 2) as (name, address):
        copied.answer("p0", f"ip addr del {address} dev {name}")
        lost = facts(copied, "p0")
        assert ports(lost)["mlx5_2"]["rocev2_gid_index"] is None
        assert lost["warnings"] == [f"mlx5_2 port 1: ACTIVE, but no RoCE v2 GID of an address on {name}; has the address been lost?"]
        assert lost["selection"]["gid_indexes"]["mlx5_2:1"] is None
        assert lost["selection"]["uniform_gid_index"] is None
        # As after a DHCP client that gave up: index 1 is there again, and is a link-local one.
        copied.answer("p0", f"ip addr add fe80::1234/64 dev {name} nodad")
        local = ports(facts(copied, "p0"))["mlx5_2"]
        assert [row["gid"][:4] for row in local["gids"] if row["index"] == 1] == ["fe80"]
        assert local["rocev2_gid_index"] is None
        # The address comes back behind it.
        copied.answer("p0", f"ip addr add {address} dev {name}")
        moved = facts(copied, "p0")
        assert ports(moved)["mlx5_2"]["rocev2_gid_index"] == 2
        assert moved["selection"]["gid_indexes"] == {f"{device}:1": 2 if device == "mlx5_2" else 1 for device in DEVICES}
        assert moved["selection"]["uniform_gid_index"] is None
    found = facts(copied, "p0")
    assert (found["selection"]["uniform_gid_index"], found["warnings"]) == (1, [])


def test_an_index_in_front_that_is_of_a_vlan_is_not_taken(copied: QemuLab) -> None:
    with addresses(copied, "p0", 6) as (name, address):
        copied.answer("p0", f"ip addr del {address} dev {name}")
        copied.answer("p0", f"ip link add link {name} name {name}.100 type vlan id 100 && ip link set {name}.100 up")
        copied.answer("p0", f"ip addr add 192.0.2.1/32 dev {name}.100 && ip addr add {address} dev {name}")
        told = facts(copied, "p0")
        port = ports(told)["mlx5_6"]
        assert port["rocev2_gid"]["ndev"] == name
        assert port["rocev2_gid"]["address"] == address.partition("/")[0]
        assert port["nccl_auto_gid_index"] < port["rocev2_gid_index"]
        assert port["netdevs"] == [name, f"{name}.100"]
        index = port["nccl_auto_gid_index"]
        text = f"mlx5_6 port 1: NCCL by itself would take GID index {index}, the one of {name} is {port['rocev2_gid_index']}"
        assert told["warnings"] == [text]


def test_without_privileges_it_knows_less_and_says_so(copied: QemuLab) -> None:
    secret = "/etc/security/limits.d/50-secret.conf"
    copied.answer("p0", f"echo '* - memlock 1024' > {secret} && chmod 600 {secret}")
    try:
        whole, less = facts(copied, "p0"), facts(copied, "p0", user="nobody")
    finally:
        copied.answer("p0", f"rm -f {secret}")
    assert less["devices"] == whole["devices"]
    assert less["selection"] == whole["selection"]
    assert whole["errors"] == {}
    assert less["errors"][secret] == "EACCES"
    assert set(less["errors"].values()) <= {"EACCES", "EPERM"}


@pytest.mark.parametrize("host", HOSTS)
def test_the_module_says_the_same_and_changes_nothing(host: str, copied: QemuLab) -> None:
    done = copied.command("ansible", "-i", "inventory/lab", host, "-m", "railyard.sglang.rdma_facts")
    assert done.returncode == 0, done.stdout + done.stderr
    # What other callbacks print comes after it.
    found = json.JSONDecoder().raw_decode(done.stdout.partition("=>")[2].lstrip())[0]
    assert found["changed"] is False
    told, here = found["ansible_facts"]["rdma"], facts(copied, host)
    assert {key for key in here if told[key] != here[key]} <= {"reads"}


@pytest.mark.parametrize("host", HOSTS)
def test_a_capture_of_the_host_gives_the_same_choice_elsewhere(host: str, copied: QemuLab, tmp_path: Path) -> None:
    options = ("--limit", host, "-e", f"capture_directory={tmp_path}")
    copied.play(*options, playbook="playbooks/capture.yml", variables={}).succeeded()
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        unpack_into(packed, tmp_path / "tree")
    replayed = gather(open_root(str(tmp_path / "tree")))
    live = facts(copied, host)
    chosen = select(replayed, Options())
    assert chosen["data_ports"] == live["selection"]["data_ports"] == [f"{name}:1" for name in DEVICES]
    for key in ("gid_indexes", "uniform_gid_index", "left_out", "missing", "reasons", "problems"):
        assert chosen[key] == live["selection"][key], key
    assert [port["netdev"] for port in ports(replayed).values()] == INTERFACES[host]
    assert [device["numa_node"] for device in replayed["devices"]] == [device["numa_node"] for device in live["devices"]]
    # The address is another one, in the same place.
    real = copied.inventory(host)["lab_rails"][0]["address"]
    assert ports(replayed)["mlx5_0"]["rocev2_gid"]["address"] not in (None, real)
    copied.answer(host, "rm -f /var/tmp/railyard-capture*")


@pytest.fixture
def two(copied: QemuLab) -> Iterator[QemuLab]:
    """Leave p0 two devices, and give all of them back."""
    copied.answer("p0", "modprobe ib_umad; " + "; ".join(f"rdma link delete {name}" for name in DEVICES[2:]))
    yield copied
    copied.answer("p0", "systemctl restart railyard-soft-roce.service")
    assert copied.becomes("p0", "rdma link show | grep -c 'state ACTIVE'", "8", 60)
    assert copied.becomes("p0", "cat /sys/class/infiniband/*/ports/1/gids/1 | grep -c ':ffff:'", "8", 60)


# A table of 1024 slots as it is, which is what the bound is for; as full as those of common hardware can be; and all of it in use, where a
# thousand addresses on one interface cost more than what the tools print of them.
@pytest.mark.parametrize(("used", "share"), [(2, 0.25), (256, 1.5), (1024, 5.0)])
def test_facts_cost_at_most_a_share_of_the_usual_tools(used: int, share: float, two: QemuLab) -> None:
    names = INTERFACES["p0"][:2]
    rows = [f"2001:db8:{rail}::{number:x}/128 dev {name}" for rail, name in enumerate(names) for number in range(1, used - 1)]
    try:
        two.ssh("p0", "ip -batch -", "".join(f"addr add {row} nodad\n" for row in rows), seconds=120)
        count = "cat /sys/class/infiniband/mlx5_1/ports/1/gids/* | grep -vc '^0000:0000:0000:0000:0000:0000:0000:0000'"
        assert two.becomes("p0", count, str(used), 60)
        two.run("p0", f"PYTHONPATH={PLACE} python3 {PLACE}/bench.py --live --runs 5 --out {PLACE}/result.json", seconds=300)
        result = json.loads(two.answer("p0", f"cat {PLACE}/result.json"))
    finally:
        two.ssh("p0", "ip -batch -", "".join(f"addr del {row}\n" for row in rows), seconds=120)
    two.record(f"facts with {used} GIDs in use", result)
    assert result["devices"] == 2
    assert result["ratio"] <= share
