# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of the network stage: a table, and what else there is to know, alike hosts together."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import nft
from ansible_collections.railyard.sglang.plugins.module_utils.report import interfaces

RAILS = [{"netdev": "ens1", "pci": "0000:0c:00.0", "gpus": [0, 1]}, {"netdev": "ens2", "pci": "0000:0d:00.0", "gpus": [2, 3]}]


def row(before: str = "ens1", after: str = "roce0", pci: str = "0000:0c:00.0", **more: Any) -> dict[str, Any]:
    return {
        "before": before, "after": after, "pci": pci, "mac": "02:00:00:00:00:01", "rail": 0, "networks": ["203.0.113.0/27"],
        "management": False, "mtu_before": 1500, "mtu_after": 1500, "rdma_before": "mlx5_0", "rdma_after": "mlx5_0", **more,
    }


def host(*rows: dict[str, Any], written: str = "", **looked: Any) -> dict[str, Any]:
    return {"looked": {"rows": list(rows), **looked}, "rails": RAILS, "written": written}


def lines(dry: bool = True, **hosts: dict[str, Any]) -> list[str]:
    return interfaces.text(interfaces.document(hosts), dry)


def test_the_table() -> None:
    two = host(
        row(mtu_after=9000, rdma_after="mlx5_rail0"), row("ens2", "roce1", "0000:0d:00.0"),
        row("eno1", "eno1", "0000:01:00.0", networks=[], management=True),
    )
    assert lines(p0=two, r0={"looked": {"skipped": True}, "rails": []}) == [
        "3 interfaces of 1 hosts, 2 of them would get another name",
        "",
        "host  now   then   PCI           GPU  subnet          also",
        f"----  ----  -----  ------------  ---  --------------  {'-' * 38}",
        "p0    ens1  roce0  0000:0c:00.0  0,1  203.0.113.0/27  MTU 1500 -> 9000, mlx5_0 -> mlx5_rail0",
        "p0    ens2  roce1  0000:0d:00.0  2,3  203.0.113.0/27",
        "p0    eno1  eno1   0000:01:00.0  -    -               carries this connection",
    ]


def test_the_gpu_is_found_by_pci_address_once_the_name_has_changed() -> None:
    assert [found["gpus"] for found in interfaces.interfaces(host(row("roce0")))] == [[0, 1]]
    assert [found["gpus"] for found in interfaces.interfaces(host(row("ens9", pci="")))] == [[]]


def test_places_that_are_not_listed_are_counted() -> None:
    more = [{"path": "/etc/rails.conf", "places": 112}, {"path": "/etc/sglang/prefill-0/environment", "places": 1}]
    found = lines(p0=host(row(), references_more=more), p1=host(row(), references_more=more))
    assert "- /etc/rails.conf names them in 112 more places, which are not listed (p0, p1)" in found
    assert "- /etc/sglang/prefill-0/environment (stage engine) (p0, p1)" in found
    assert interfaces.document({"p0": host(row(), references_more=more)})["hosts"]["p0"]["references_more"] == more


def test_alike_hosts_are_told_once() -> None:
    script = {"path": "/etc/NetworkManager/dispatcher.d/50-x", "line": 2, "name": "ens1", "text": "ip route add dev ens1"}
    own = {"path": "/etc/sglang/prefill-0/environment", "line": 4, "name": "ens1", "text": "GLOO_SOCKET_IFNAME=ens1"}
    looked = {"references": [script, own], "notes": ["biosdevname=1"], "actions": ["rename ens1 to roce0", "write /x"]}
    hosts = {f"p{number}": host(row(), **looked) for number in range(6)}
    found = lines(**hosts)
    assert found[found.index("Needs a person, since no program may rewrite it:") :] == [
        "Needs a person, since no program may rewrite it:",
        "- /etc/NetworkManager/dispatcher.d/50-x:2 names ens1: ip route add dev ens1 (p0, p1, p2, p3 and 2 more)",
        "",
        "Is written anew by a later stage of site.yml:",
        "- /etc/sglang/prefill-0/environment (stage engine) (p0, p1, p2, p3 and 2 more)",
        "",
        "Would be done on the way:",
        "- write /x (p0, p1, p2, p3 and 2 more)",
        "",
        "Notes:",
        "- biosdevname=1 (p0, p1, p2, p3 and 2 more)",
    ]


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("/etc/sglang/prefill-0/environment", "engine"),
        ("/etc/systemd/system/sglang-prefill-0.service", "engine"),
        ("/etc/udev/rules.d/90-railyard-rdma.rules", "rdma"),
        ("/etc/systemd/system/railyard-rdma-qos.service", "rdma"),
        (nft.PATH, "network"),
        ("/etc/systemd/system/other.service", ""),
        ("/etc/sglangs", ""),
    ],
)
def test_files_of_other_stages(path: str, stage: str) -> None:
    assert interfaces.stage(path) == stage


@pytest.mark.parametrize(
    ("written", "rows", "count"),
    [("ens1", [row()], 1), ("ens1", [row("ens1", "ens1")], 0), ("roce0", [row()], 0), ("", [row()], 0), ("ens3", [row()], 0)],
)
def test_an_interface_that_the_inventory_names_must_not_be_called_otherwise(written: str, rows: list[Any], count: int) -> None:
    found = interfaces.refused(host(*rows, written=written))
    assert len(found) == count
    assert all("sglang_fabric_interface is ens1, which becomes roce0" in text and "Fix: set it to roce0" in text for text in found)


def test_refusals() -> None:
    refused = host(row(), problems=["two profiles. Fix: remove one"], written="ens1")
    assert interfaces.refused(refused)[0] == "two profiles. Fix: remove one"
    assert lines(p0=refused)[-3:-1] == ["Would be refused:", "- two profiles. Fix: remove one (p0)"]
    assert "Is refused:" in lines(False, p0=refused)
    assert lines(False, p0=refused)[0] == "1 interfaces of 1 hosts, 1 of them get another name"


def test_rails_that_do_not_fit_the_gpus_are_told() -> None:
    uneven = {**host(row(), notes=["a note"]), "rails": [{**RAILS[0], "device": "mlx5_0"}, {**RAILS[1], "device": "mlx5_1", "gpus": [2]}]}
    first, second = interfaces.document({"p0": uneven})["hosts"]["p0"]["notes"]
    assert first.startswith("NICs serve different numbers of GPUs (mlx5_0 2, mlx5_1 1), as where a NIC or a GPU is missing")
    assert second == "a note"


def test_an_engine_that_is_stopped_for_the_change_is_a_note() -> None:
    text = "sglang-a.service runs and uses ens0, ens1. Fix: network_drain: true stops it before and starts it after; or stop it first"
    looked = host(row(), problems=[text, "two profiles. Fix: remove one"])
    assert interfaces.refused(looked) == [text, "two profiles. Fix: remove one"]
    found = interfaces.document({"p0": {**looked, "drain": True, "units": ["sglang-a.service"]}})["hosts"]["p0"]
    assert found["refused"] == ["two profiles. Fix: remove one"]
    assert found["notes"][0] == "sglang-a.service is stopped before the change, since it uses ens0, ens1"
    assert interfaces.document({"p0": looked})["hosts"]["p0"]["notes"] == []


def test_only_units_of_the_plan_are_stopped_and_others_are_refused() -> None:
    text = "sglang-a.service, sglang-old.service runs and uses ens0. Fix: network_drain: true stops it before and starts it after"
    found = interfaces.document({"p0": {**host(row(), problems=[text]), "drain": True, "units": ["sglang-a.service"]}})["hosts"]["p0"]
    assert found["notes"] == ["sglang-a.service is stopped before the change, since it uses ens0"]
    (refused,) = found["refused"]
    assert refused.startswith("sglang-old.service runs and uses ens0, and is no unit of the plan")
    assert "Fix: stop it first" in refused
    without = interfaces.document({"p0": {**host(row(), problems=[text]), "drain": False, "units": ["sglang-a.service"]}})["hosts"]["p0"]
    assert (without["refused"], without["notes"]) == ([text], [])
