# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.qemu_args import (
    Machine,
    clock_khz,
    command,
    kernel_arguments,
    memory,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import cards
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import Bind, HostRecord

FABRIC = "198.18.8.0/21"
P0 = HostRecord("p0", "prefill", "198.51.100.10", "198.18.8.10")
MACHINE = Machine(
    name="p0",
    lab="lab",
    group="prefill",
    memory_mb=769,
    cpus=1,
    kernel="/c/vmlinuz",
    ram_disk="/c/initrd",
    disk="/c/a,b/disk.qcow2",
    console="/c/console.log",
    monitor="/run/p0.qmp",
    management_mac="02:00:c6:33:64:0a",
    cards=cards(P0, FABRIC),
    shares=(Bind("/c/whe,els", "/srv/wheels"), Bind("/c/store", "/opt/store", read_only=False)),
    kernel_arguments="root=/dev/vda",
)


def values(words: list[str], option: str) -> list[str]:
    return [value for name, value in zip(words, words[1:]) if name == option]


def settings(text: str) -> dict[str, str]:
    """Read an option's value as QEMU does: a doubled comma is one comma."""
    parts = text.replace(",,", "\0").split(",")
    return {name: value.replace("\0", ",") for name, _equals, value in (part.partition("=") for part in parts)}


def devices(words: list[str], model: str) -> list[dict[str, str]]:
    return [settings(value) for value in values(words, "-device") if value.split(",")[0] == model]


def test_processor_is_emulated_whatever_this_machine_has() -> None:
    words = command(MACHINE)
    (accelerator,) = values(words, "-accel")
    assert accelerator.startswith("tcg,")
    assert values(words, "-cpu") == ["max"]
    assert not [word for word in words if "kvm" in word]


def test_each_card_has_a_bridge_on_its_node_and_a_port_of_the_lab() -> None:
    words = command(MACHINE)
    bridges = {each["id"]: each for each in devices(words, "pxb-pcie")}
    ports = {each["id"]: each for each in devices(words, "pcie-root-port")}
    links = {settings(value)["id"]: settings(value) for value in values(words, "-netdev")}
    found = {each["id"]: each for each in devices(words, "vmxnet3") if each["id"].startswith("card")}
    assert len(found) == 8
    for card in MACHINE.cards:
        device = found[f"card{card.rail}"]
        port = ports[device["bus"]]
        bridge = bridges[port["bus"]]
        assert (bridge["bus_nr"], bridge["numa_node"]) == (str(card.slot.bridge_bus), str(card.slot.numa_node))
        assert device["addr"] == f"0.{card.slot.function}"
        assert device["mac"] == card.mac
        assert links[device["netdev"]]["ifname"] == f"{card.rail}-p0"
        assert port["hotplug"] == "off"


def test_cards_at_function_1_have_a_second_port_without_a_cable() -> None:
    spares = [each for each in devices(command(MACHINE), "vmxnet3") if each["id"].startswith("spare")]
    assert [(each["bus"], each["addr"], each["multifunction"]) for each in spares] == [(f"port{n}", "0.0", "on") for n in (4, 5, 6, 7)]
    assert [each for each in spares if "netdev" in each] == []


def test_nothing_takes_two_places_of_the_root_bus() -> None:
    many = tuple(Bind(f"/c/{number}", f"/s/{number}") for number in range(11))
    words = command(replace(MACHINE, shares=many))
    taken = [settings(value)["addr"] for value in values(words, "-device") if settings(value).get("bus") == "pcie.0"]
    assert len(taken) == 3 + 8 + 11
    assert len(set(taken)) == len(taken)


@pytest.mark.parametrize(
    ("memory_mb", "cpus", "sizes", "processors"),
    [
        (768, 1, ["384M", "384M"], ["0-0", None]),
        (769, 2, ["384M", "385M"], ["0-0", "1-1"]),
        (900, 3, ["450M", "450M"], ["0-1", "2-2"]),
        (2048, 4, ["1024M", "1024M"], ["0-1", "2-3"]),
    ],
)
def test_two_nodes_share_memory_and_processors(memory_mb: int, cpus: int, sizes: list[str], processors: list[str | None]) -> None:
    words = memory(replace(MACHINE, memory_mb=memory_mb, cpus=cpus))
    assert [settings(value)["size"] for value in values(words, "-object")] == sizes
    assert [settings(value).get("cpus") for value in values(words, "-numa")] == processors


def test_paths_with_commas_reach_qemu_whole() -> None:
    words = command(MACHINE)
    (drive,) = [settings(value) for value in values(words, "-drive")]
    assert drive["file"] == "/c/a,b/disk.qcow2"
    shares = [settings(value) for value in values(words, "-fsdev")]
    assert [(each["path"], each.get("readonly")) for each in shares] == [("/c/whe,els", "on"), ("/c/store", None)]
    assert [each["mount_tag"] for each in devices(words, "virtio-9p-pci")] == ["share0", "share1"]


def test_no_way_out_of_the_lab() -> None:
    assert {value.split(",")[0] for value in values(command(MACHINE), "-netdev")} == {"tap"}


@pytest.mark.parametrize(
    ("text", "khz"),
    [
        ("processor\t: 0\ncpu MHz\t\t: 2596.122\nbogomips\t: 5192.24\n\nprocessor\t: 1\nbogomips\t: 1\n", 2596120),
        ("BogoMIPS\t: 50.00\n", 0),
        ("", 0),
    ],
)
def test_clock_of_this_machine(text: str, khz: int) -> None:
    assert clock_khz(text) == khz


@pytest.mark.parametrize(
    ("khz", "more", "there", "absent"),
    [(2596120, "", " tsc_early_khz=2596120", "  "), (0, "numa=off x=y", " numa=off x=y", "tsc_early_khz")],
)
def test_kernel_arguments(khz: int, more: str, there: str, absent: str) -> None:
    text = kernel_arguments(khz, more)
    assert text.endswith(there)
    assert absent not in text
    assert "console=ttyS0" in text
