# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong, in words: cause and fix of every code that a measurement can end with. On the controller.

Identifiers (D14, ...) are those of the table of failures of prefill/decode clusters that the doctor knows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Cause and fix; the identifier of the signature, empty where there is none."""

    text: str
    fix: str
    signature: str = ""


REASONS = {
    "memory": Reason(
        "memory could not be registered with LimitMEMLOCK={limit}: memlock is too small for RDMA",
        "LimitMEMLOCK=infinity in the engine's unit; systemd does not read limits.conf", "D30",
    ),
    "gid": Reason(
        "the GID index is not of a RoCE v2 GID of both ends",
        "look at rocev2_gid_index of both hosts' facts; the port has lost its address, or sglang_gid_index names another", "D14",
    ),
    "rtr": Reason(
        "the queue pair could not be connected (RTR)",
        "GID index, MTU and address of both ports; a port without its IPv4 address has no usable GID", "D14",
    ),
    "mtu": Reason("the MTUs of both ends differ", "the same MTU on both interfaces and the switch, 4200 or more for RDMA's 4096", "D33"),
    "no-data": Reason(
        "both ends know each other, but no data came by RDMA",
        "the rail's switch port, VLAN and PFC; for a way between rails, a route between them", "D15",
    ),
    "completion": Reason(
        "the transfer broke off with an error completion: packets were lost or refused",
        "the rail's switch port and cable, PFC, and the counters in this report", "D15",
    ),
    "port-down": Reason("the port is down", "cable, transceiver, switch port; ip link and rdma link say more", ""),
    "no-device": Reason("there is no such RDMA device", "names of devices change with udev's rules: gather the facts anew", "D17"),
    "device-access": Reason(
        "the unit may not open the RDMA device", "engine_devices (DeviceAllow) and the mode of /dev/infiniband/uverbs*", "D28",
    ),
    "connect": Reason(
        "its peer could not be reached over TCP",
        "the fabric addresses of both hosts, and a firewall: fabric_tcp_port and those behind it must be open between them", "",
    ),
    "no-peer": Reason(
        "its peer did not come", "what the peer's own line says; else the firewall: fabric_tcp_port and those behind it", "",
    ),
    "peer-left": Reason("its peer broke off", "what the peer's own line says", ""),
    "port-taken": Reason(
        "its TCP port is in use", "another fabric_tcp_port, with eight times as many free ports behind it as there are rails", "",
    ),
    "unit": Reason(
        "systemd could not run it under the engine's hardening", "what systemd says; the properties are those of the engine's unit", "",
    ),
    "no-program": Reason("the program could not be started", "install the package perftest anew", ""),
    "option": Reason("this perftest does not know an option", "perftest 4.4 or newer; 23.07 or newer where hosts meet by IPv6", ""),
    "no-perftest": Reason("perftest is not installed", "install the package perftest, or set fabric_require_perftest: false", ""),
    "no-stack": Reason("the stack is not installed", "run site.yml --tags stack, or set fabric_allreduce: false", ""),
    "no-port": Reason("the host has no data port there", "cable, transceiver, switch port", ""),
    "port-missing": Reason(
        "a port that ought to carry data does not",
        "cable, transceiver, switch port; where it is not meant to carry data, sglang_rdma_exclude", "",
    ),
    "no-ports": Reason(
        "no data port is measured", "what rdma_facts says of the host's devices and why it leaves them out; sglang_rdma_devices names them",
        "",
    ),
    "time": Reason("the time was over", "a higher fabric_max_seconds, or fewer measurements", ""),
    "no-report": Reason("the host did not report", "whether the host is alive; the run's output says more", ""),
    "slow-bandwidth": Reason("{gbps} Gb/s, less than {least} Gb/s", "PCIe link, ACS, MTU and PFC of both ports", "D33"),
    "slow-latency": Reason("{latency} us, more than {most} us", "power states of the CPU, PCIe path, congestion", "D33"),
    "outlier": Reason(
        "{gbps} Gb/s, far below the {median} Gb/s of its rail", "PCIe link, ACS, MTU and cable of what this way alone uses", "D33",
    ),
    "missing": Reason(
        "ranks did not come to the rendezvous: {missing}", "the host named; then the firewall: fabric_rendezvous_port", "D08",
    ),
    "store": Reason(
        "the rendezvous at {address} could not be reached", "the host of rank 0; then the firewall: fabric_rendezvous_port", "D08",
    ),
    "rendezvous-port": Reason("the rendezvous port is taken", "another fabric_rendezvous_port", ""),
    "no-address": Reason(
        "the rendezvous address {address} is not an address of this host", "the fabric address of the host in the inventory, or the host's",
        "",
    ),
    "reduce": Reason(
        "the all-reduce broke off; silent: {missing}", "the host named; else NCCL's or gloo's interface and devices in the plan", "D31",
    ),
    "killed": Reason("a rank was killed: {missing}", "the kernel's log of the host: out of memory, or somebody's hand", ""),
    "overran": Reason("ranks did not end in time; silent: {missing}", "the host named; NCCL_DEBUG=INFO in sglang_env says more", "D31"),
    "crash": Reason("a rank ended with an error", "what it says", ""),
    "wrong-sum": Reason("the sums were WRONG", "do not serve: memory, GPU or NIC corrupts data; find it by smaller groups", ""),
    "slow-reduce": Reason(
        "{busbw} Gb/s on the bus, less than {least} Gb/s", "NVLink and fabric manager within a host, GPUDirect between hosts", "D33",
    ),
    "unknown": Reason("it failed", "what it says", ""),
}
# Of the two ends of a test the other one may know more than these, and of these the first ones know most.
ECHOES = ("no-data", "connect", "no-peer", "peer-left", "no-report")
