# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planners of the parts, on what was seen of hosts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import bridging, classes, files, modules, plan, sysctls
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.steps import Bridge, ClassSeen, Loaded, ModuleSeen, Seen
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import PORTS, Wanted
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hosttuning.tuned_machine import wanted

KEY = "vm.max_map_count"
# Published output of mlnx_qos (MLNX_OFED, ConnectX-5).
MLNX = """DCBX mode: OS controlled
Priority trust state: dscp
dscp2prio mapping:
        prio:0 dscp:07,06,05,04,03,02,01,00,
        prio:3 dscp:31,30,29,28,27,26,25,24,
        prio:6 dscp:48,
Receive buffer size (bytes): 130944,130944,0,0,0,0,0,0,
Cable len: 7
PFC configuration:
        priority    0   1   2   3   4   5   6   7
        enabled     0   0   0   1   0   0   0   0
        buffer      0   0   0   1   0   0   0   0
tc: 0 ratelimit: unlimited, tsa: vendor
         priority:  1
"""
# dcb-pfc(8) and dcb-app(8) of iproute2 6.1.
PFC = "pfc-cap 8 macsec-bypass off delay 4096\nprio-pfc 0:off 1:off 2:off 3:off 4:off 5:off 6:on 7:on\n"
RAIL = [{"device": "mlx5_0", "port": 1, "netdev": "ens1"}]


@pytest.mark.parametrize(
    ("live", "record", "steps", "listed"),
    [
        ("65530", {}, ["16777216"], True),
        ("16777216", {}, [], False),
        ("1048576", {KEY: {"before": "65530", "ours": ["1048576"]}}, ["16777216"], True),
        # Raised by somebody since: enough, and ours still holds at the next boot.
        ("20000000", {KEY: {"before": "65530", "ours": ["16777216"]}}, [], True),
        # More than enough before: what was set is taken back.
        ("16777216", {KEY: {"before": "2147483642", "ours": ["16777216"]}}, ["2147483642"], False),
    ],
)
def test_a_least_value_never_lowers(live: str, record: dict[str, Any], steps: list[str], listed: bool) -> None:
    part, values = sysctls.plan(Wanted(least={KEY: 16777216}), Seen(sysctl={KEY: live}), record)
    assert [step.after for step in part.steps] == steps
    assert (KEY in values) is listed
    assert (KEY in part.final) is listed


@pytest.mark.parametrize(
    ("name", "live", "record", "steps", "listed"),
    [
        # Not live yet: ours must not lower it at the next boot.
        ("50-db.conf", "65530", {}, ["33554432"], "33554432"),
        # Raised by another since: it is not ours to take back.
        ("50-db.conf", "33554432", {KEY: {"before": "65530", "ours": ["16777216"]}}, [], "33554432"),
        ("50-db.conf", "16777216", {KEY: {"before": "65530", "ours": ["16777216"]}}, [], "33554432"),
        # Applied after ours, so that it holds anyway.
        ("95-db.conf", "65530", {}, ["16777216"], "16777216"),
    ],
)
def test_a_boot_does_not_lower_what_another_file_sets(name: str, live: str, record: dict[str, Any], steps: list[str], listed: str) -> None:
    others = (("/etc/sysctl.d/20-x.conf", f"{KEY}=5\n"), (f"/etc/sysctl.d/{name}", "vm/max_map_count = 33554432\n"))
    part, values = sysctls.plan(Wanted(least={KEY: 16777216}), Seen(sysctl={KEY: live}, sysctl_files=others), record)
    assert [step.after for step in part.steps] == steps
    assert values[KEY] == listed
    assert part.final[KEY]["ours"] == (steps or ["16777216"])


def test_a_stricter_setting_of_a_rail_stays() -> None:
    key = "net.ipv4.conf.ens1.arp_ignore"
    asked = wanted(rails=[*RAIL, {"device": "mlx5_1", "netdev": "ens2"}], rail_sysctl={"arp_ignore": 1})
    part, values = sysctls.plan(asked, Seen(sysctl={key: "2", "net.ipv4.conf.ens2.arp_ignore": "0"}), {})
    assert ([step.what for step in part.steps], list(values)) == (["net.ipv4.conf.ens2.arp_ignore"],) * 2


@pytest.mark.parametrize(
    ("live", "message"), [(None, "this kernel has no /proc/sys/vm/max_map_count"), ("1 2", "holds no number to compare")]
)
def test_a_key_that_cannot_be_set_is_refused(live: str, message: str) -> None:
    part, values = sysctls.plan(Wanted(least={KEY: 5}), Seen(sysctl={KEY: live}), {})
    assert message in part.faults[0]
    assert (part.steps, values) == ([], {})


@pytest.mark.parametrize(
    ("live", "asked", "record", "after", "listed"),
    [
        ("", (30000,), {}, "30000", "30000"),
        ("5000", (30000, 30001), {}, "5000,30000-30001", "5000,30000-30001"),
        ("5000,30000", (30000,), {}, None, "5000,30000"),
        # One of ours leaves; that it was there before keeps the other.
        ("5000,30000-30001", (), {"before": "5000,30001", "ours": "30000,30001"}, "5000,30001", ""),
        ("5000,30000", (30001,), {"before": "5000", "ours": "30000"}, "5000,30001", "5000,30001"),
        # Another has added 7000 since, and has no file for it.
        ("5000,7000,30000", (), {"before": "5000", "ours": "30000"}, "5000,7000", ""),
        ("5000", (), {}, None, ""),
    ],
)
def test_ports_of_others_stay_reserved(live: str, asked: tuple[int, ...], record: dict[str, str], after: Any, listed: str) -> None:
    part, text = sysctls.plan_ports(Wanted(reserved_ports=asked), Seen(sysctl={PORTS: live}), record)
    assert [step.after for step in part.steps] == ([] if after is None else [after])
    assert text == listed


def test_ports_of_other_files_stay_in_ours() -> None:
    seen = Seen(sysctl={PORTS: ""}, sysctl_files=(("/usr/lib/sysctl.d/50-x.conf", f"# x\n-{PORTS} = 6000-6001\n"),))
    part, text = sysctls.plan_ports(Wanted(reserved_ports=(30000,)), seen, {})
    # A file that is not live yet is left to the next boot, where ours is applied after it.
    assert (part.steps[0].after, text) == ("30000", "6000-6001,30000")


@pytest.mark.parametrize(
    ("live", "theirs", "asked", "after", "before"),
    [
        # Another file reserves some of ours: they stay.
        ("5000,15000-17000", "5000,15000-15010", (), "5000,15000-15010", None),
        # The administrator has given 5000 up, live and in the file.
        ("15000-17000", "", (16000,), "16000", ""),
        ("15000-17000", "", (), "", None),
        # Given up in the file only, or live only.
        ("5000,15000-17000", "", (16000,), "5000,16000", "5000"),
        ("15000-17000", "5000", (16000,), "16000", "5000"),
    ],
)
def test_ports_follow_what_others_did_since(live: str, theirs: str, asked: tuple[int, ...], after: str, before: Any) -> None:
    seen = Seen(sysctl={PORTS: live}, sysctl_files=(("/etc/sysctl.d/50-x.conf", f"{PORTS} = {theirs}\n"),))
    part, text = sysctls.plan_ports(Wanted(reserved_ports=asked), seen, {"before": "5000", "ours": "15000-17000"})
    assert [step.after for step in part.steps] == [after]
    # Others' ports are in ours as well, live or not, since ours replaces their list.
    assert text == ("" if not asked else "5000,16000" if before else "16000")
    assert part.final.get("before") == before


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("/etc/sysctl.d/99-sysctl.conf", "vm.max_map_count=65530", True),
        ("/etc/sysctl.d/99-sysctl.conf", "vm/max_map_count=65530", True),
        ("/etc/sysctl.d/99-sysctl.conf", "vm.max_map_count=20000000", False),
        ("/etc/sysctl.d/99-sysctl.conf", "; vm.max_map_count=65530", False),
        ("/etc/sysctl.d/99-sysctl.conf", "vm.*=65530", False),
        ("/usr/lib/sysctl.d/10-map-count.conf", "vm.max_map_count=1048576", False),
        ("/run/sysctl.d/95-x.conf", f"{PORTS}=1", True),
        ("/run/sysctl.d/95-x.conf", f"{PORTS}=29000-31000", False),
    ],
)
def test_what_another_file_sets_later_is_told(path: str, text: str, told: bool) -> None:
    found = sysctls.overridden({KEY: "16777216", PORTS: "30000"}, {KEY: 16777216}, ((path, text),))
    assert bool(found) is told
    assert not told or path in found[0]


@pytest.mark.parametrize(
    ("answer", "closure", "error"),
    [
        (
            (0, "insmod /lib/modules/6.1/kernel/drivers/infiniband/core/ib_core.ko.xz \ninsmod /x/ib-umad.ko a=1\n", ""),
            ("ib_core", "ib_umad"),
            "",
        ),
        ((0, "builtin ib_core\n", ""), (), ""),
        ((0, "install /bin/false\n", ""), (), "modprobe.d has an install line for it (/bin/false)"),
        ((1, "", "modprobe: FATAL: Module x not found in directory /lib/modules/6.1\n"), (), "not found in directory"),
        ((127, "", "not found"), (), "there is no modprobe here. Fix: install the package kmod"),
    ],
)
def test_what_modprobe_says_of_a_module(answer: tuple[int, str, str], closure: tuple[str, ...], error: str) -> None:
    found = modules.parse_depends(*answer)
    assert found.closure == closure
    assert error in found.error


def test_loaded_modules() -> None:
    text = "ib_umad 40960 0 - Live 0x0\nib_core 434176 3 ib_umad,rdma_cm, Live 0x0\nx 1 - - Live 0x0\ny 1 1 [permanent], Live 0x0\n"
    found = modules.parse_loaded(text)
    assert found == {"ib_umad": Loaded(0), "ib_core": Loaded(3, ("ib_umad", "rdma_cm")), "x": Loaded(1), "y": Loaded(1)}


def test_a_missing_module_is_told_with_where_it_comes_from() -> None:
    seen = Seen(modules={"nvidia_peermem": ModuleSeen(error="modprobe: FATAL: Module nvidia_peermem not found in x")}, kernel="6.1.0")
    fault = modules.plan(Wanted(modules=("nvidia_peermem",)), seen, []).faults[0]
    assert fault.startswith("nvidia_peermem: no such module for kernel 6.1.0; it comes with NVIDIA's driver and needs")
    assert "DOCA-OFED" in fault
    assert "DMA-BUF" in fault


@pytest.mark.parametrize(("loaded", "steps"), [({}, ["mlx"]), ({"core": Loaded(0), "mlx5_ib": Loaded(0)}, [])])
def test_a_module_by_an_alias(loaded: dict[str, Loaded], steps: list[str]) -> None:
    seen = Seen(loaded=loaded, modules={"mlx": ModuleSeen(("core", "mlx5_ib"))})
    part = modules.plan(Wanted(modules=("mlx",)), seen, [])
    assert [step.what for step in part.steps] == steps
    assert part.during == ([] if loaded else ["core", "mlx5_ib"])


@pytest.mark.parametrize(
    ("loaded", "wanted_modules", "record", "steps", "final"),
    [
        ({}, ("ucm",), [], ["load ucm"], ["core", "cm", "ucm"]),
        ({"core": Loaded(0)}, ("ucm",), [], ["load ucm"], ["cm", "ucm"]),
        ({"core": Loaded(1, ("cm",)), "cm": Loaded(1, ("ucm",)), "ucm": Loaded(0)}, ("ucm",), ["cm", "ucm"], [], ["cm", "ucm"]),
        ({"core": Loaded(1, ("cm",)), "cm": Loaded(1, ("ucm",)), "ucm": Loaded(0)}, (), ["cm", "ucm"], ["unload ucm", "unload cm"], []),
        # Something else has come to use it.
        ({"cm": Loaded(2, ("ucm", "other")), "ucm": Loaded(0), "other": Loaded(0)}, (), ["cm", "ucm"], ["unload ucm"], ["cm"]),
        # Gone by itself, for example at a boot.
        ({"core": Loaded(0)}, (), ["cm", "ucm"], [], []),
    ],
)
def test_modules(loaded: dict[str, Loaded], wanted_modules: tuple[str, ...], record: list[str], steps: list[str], final: list[str]) -> None:
    seen = Seen(loaded=loaded, modules={"ucm": ModuleSeen(("core", "cm", "ucm"))})
    part = modules.plan(Wanted(modules=wanted_modules), seen, record)
    assert [step.text().replace("module ", "") for step in part.steps] == steps
    assert part.final == final
    assert set(record) <= set(part.during) or not steps


def test_what_the_tools_show() -> None:
    found = bridging.parse_mlnx(MLNX)
    assert (found.trust, found.pfc, found.priorities[26], found.priorities[48], found.error) == ("dscp", (3,), 3, 6, "")
    assert bridging.parse_mlnx("Priority trust state is not supported on your system\n").error
    found = bridging.parse_dcb(PFC, "dscp-prio 0:0 24:2 24:3 48:6 \n")
    assert (found.trust, found.pfc, found.priorities) == ("dscp", (6, 7), {0: 0, 24: 3, 48: 6})
    assert bridging.parse_dcb(PFC, "").trust == "pcp"
    assert bridging.parse_dcb("", "").error


@pytest.mark.parametrize(
    ("seen", "params", "commands"),
    [
        (
            Bridge("mlnx_qos", "pcp"),
            {"trust": "dscp", "pfc": [3]},
            ["mlnx_qos -i ens1 --trust dscp", "mlnx_qos -i ens1 --pfc 0,0,0,1,0,0,0,0"],
        ),
        (Bridge("mlnx_qos", "dscp", (3,), {26: 3}), {"trust": "dscp", "pfc": [3], "traffic_class": 106, "priority": 3}, []),
        (
            Bridge("mlnx_qos", "dscp", (5,), {59: 7}),
            {"pfc": [5], "traffic_class": 236, "priority": 5},
            ["mlnx_qos -i ens1 --dscp2prio set,59,5"],
        ),
        (Bridge("dcb", "pcp"), {"trust": "dscp", "pfc": []}, ["dcb app replace dev ens1 dscp-prio 0:0"]),
        (Bridge("dcb", "pcp"), {"trust": "dscp", "traffic_class": 106}, ["dcb app replace dev ens1 dscp-prio 26:3"]),
        (
            Bridge("dcb", "dscp", (), {26: 3}),
            {"trust": "pcp", "pfc": [0, 7]},
            ["dcb app flush dev ens1 dscp-prio", "dcb pfc set dev ens1 prio-pfc all:off 0:on 7:on"],
        ),
    ],
)
def test_bridging_commands(seen: Bridge, params: dict[str, Any], commands: list[str]) -> None:
    part = bridging.plan(wanted(rails=RAIL, **params), Seen(bridges={"ens1": seen}), {})
    assert [" ".join(step.argv) for step in part.steps] == commands
    assert all(step.disrupts for step in part.steps)


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (Bridge(error=bridging.NO_TOOL), "neither mlnx_qos nor dcb is on this host"),
        (
            Bridge("dcb", error="dcb says: Attribute read: Operation not supported"),
            "ens1: dcb says: Attribute read: Operation not supported",
        ),
    ],
)
def test_a_device_that_cannot_be_set_is_refused(seen: Bridge, message: str) -> None:
    part = bridging.plan(wanted(rails=RAIL, pfc=[3]), Seen(bridges={"ens1": seen}), {})
    assert message in part.faults[0]
    # What is gone since does not stop the way back.
    part = bridging.plan(Wanted(), Seen(bridges={"ens1": seen}), {"ens1": {"tool": "dcb", "pfc": []}})
    assert (part.faults, part.final, len(part.notes)) == ([], {}, 1)
    # A tool that fails while the device is there stops it for this run only.
    record = {"ens1": {"tool": "dcb", "pfc": []}}
    part = bridging.plan(Wanted(), Seen(bridges={"ens1": seen}, netdevs=("ens1",)), record)
    assert (part.faults, part.final) == ([], record)
    assert "ens1 was not restored, what it was stays in the record" in part.notes[0]


@pytest.mark.parametrize(
    ("trust", "params", "fault"),
    [
        ("pcp", {}, True),
        (None, {}, True),
        ("dscp", {}, False),
        ("pcp", {"trust": "dscp"}, False),
    ],
)
def test_a_map_needs_dscp_to_be_trusted(trust: Any, params: dict[str, Any], fault: bool) -> None:
    asked = wanted(rails=RAIL, traffic_class=106, priority=5, **params)
    part = bridging.plan(asked, Seen(bridges={"ens1": Bridge("mlnx_qos", trust, (), {26: 3})}), {})
    assert part.faults == [f"rdma_priority: ens1 trusts {trust}, not DSCP, and has no map then. Fix: rdma_trust: dscp"] * fault
    # dcb's entry is what makes the device trust DSCP.
    assert bridging.plan(asked, Seen(bridges={"ens1": Bridge("dcb", "pcp")}), {}).faults == []


@pytest.mark.parametrize(
    ("seen", "given", "record", "steps"),
    [
        (ClassSeen(-1, 0), 106, {}, [("put", "106"), ("connection", "106")]),
        (ClassSeen(106, 106), 106, {}, []),
        (ClassSeen(None, None), 106, {}, [("connection", "106")]),
        (ClassSeen(None, None), 0, {}, [("connection", "0")]),
        (ClassSeen(106, 106), -1, {"mlx5_0:1": {"all_connections": -1, "managed": 0}}, [("put", "-1"), ("connection", "0")]),
        (ClassSeen(None, None), -1, {"mlx5_0:1": {"all_connections": -1, "managed": 0}}, []),
    ],
)
def test_traffic_classes(seen: ClassSeen, given: int, record: dict[str, Any], steps: list[tuple[str, str]]) -> None:
    part = classes.plan(wanted(rails=RAIL, traffic_class=given), Seen(classes={"mlx5_0:1": seen}), record)
    assert [(step.kind, (step.content or b"").decode()) for step in part.steps] == steps
    assert bool(part.final) is (given >= 0)


SERVED = Seen(
    sysctl={KEY: "1"}, bridges={"ens1": Bridge("dcb", "pcp")}, serving=("sglang-prefill-0.service",), modules={"a": ModuleSeen(("a",))}
)


@pytest.mark.parametrize(
    ("params", "asked"),
    [
        ({"rails": RAIL, "pfc": [3]}, "flow control of ens1 would change from [] to [3] while sglang-prefill-0.service runs"),
        ({"rails": RAIL, "trust": "dscp"}, "dscp-prio entries of ens1 would change from none to 0:0 while"),
        ({"sysctl": {KEY: 5}, "modules": ["a"]}, ""),
    ],
)
def test_consent_is_asked_for_what_a_serving_instance_notices(params: dict[str, Any], asked: str) -> None:
    made = plan.build(wanted(**params), SERVED, {})
    assert bool(made.consent) is bool(asked)
    assert not asked or asked in made.consent[0]
    assert made.faults == []


def test_a_module_is_not_unloaded_under_a_serving_instance_without_consent() -> None:
    seen = Seen(serving=("sglang-decode-0.service",), loaded={"nvidia_peermem": Loaded(0)})
    made = plan.build(Wanted(), seen, {"modules": ["nvidia_peermem"], "version": 1, "directories": []})
    assert made.consent == ["module nvidia_peermem would be unloaded while sglang-decode-0.service runs"]


@pytest.mark.parametrize(
    ("seen", "fault"), [(Seen(files={files.LIMITS: b"* - core 0\n"}), True), (Seen(alien=(files.LIMITS,)), True), (Seen(), False)]
)
def test_a_file_of_somebody_else_is_refused_and_never_removed(seen: Seen, fault: bool) -> None:
    limits = [{"domain": "*", "type": "-", "item": "memlock", "value": "unlimited"}]
    made = plan.build(wanted(limits=limits), seen, {})
    assert bool(made.faults) is fault
    assert not fault or f"{files.LIMITS} is there and is not this collection's. Fix: " in made.faults[0]
    assert plan.build(Wanted(), seen, {}).steps == []


@pytest.mark.parametrize(
    ("seen", "fault", "steps"),
    [
        (Seen(alien=(files.QOS_LINK,)), True, []),
        (Seen(links={files.QOS_LINK: "/etc/systemd/system/other.service"}), True, []),
        (Seen(links={files.QOS_LINK: f"../{files.QOS}"}), False, [files.QOS_LINK]),
        (Seen(links={files.QOS_LINK: f"{files.UNITS}/{files.QOS}"}), False, [files.QOS_LINK]),
    ],
)
def test_a_link_of_somebody_else_is_refused_and_stays(seen: Seen, fault: bool, steps: list[str]) -> None:
    asked = wanted(rails=RAIL, traffic_class=106)
    present = replace(seen, classes={"mlx5_0:1": ClassSeen(None, 106)}, modules={"rdma_cm": ModuleSeen()})
    message = f"{files.QOS_LINK} is there and is not this collection's. Fix: move it away"
    assert plan.build(asked, present, {}).faults == [message] * fault
    made = plan.build(Wanted(), seen, {})
    assert ([step.what for step in made.steps], made.faults) == (steps, [])


def test_an_unfinished_reload_is_made_up_for() -> None:
    made = plan.build(Wanted(), Seen(), {"version": 1, "directories": [], "reload": ["systemd"]})
    assert (made.reload, made.changed, made.final) == (["systemd"], True, {})
