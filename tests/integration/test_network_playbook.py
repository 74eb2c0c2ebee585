# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dry runs of the network stage over twelve hosts that are trees of files, and runs of clusters that ask for nothing of it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.tests.unit.support import playbooks, railed
from ansible_collections.railyard.sglang.tests.unit.support.fleets import NAMES, NETS, RAILS

FIRST = ["p0", "p1", "d0", "d1"]
DRY = ["-e", '{"network_dry_run": true}']
GOLDEN = playbooks.ROOT / "tests/unit/golden/inventory.yml"


def run(place: Path, *words: str, name: str = "railyard.sglang.network") -> subprocess.CompletedProcess[str]:
    done = playbooks.playbook(place, *words, name)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def fleet(place: Path, *hosts: str, **variables: Any) -> Path:
    for host in hosts or NAMES:
        railed.write(place / "trees", host)
    own = {"network_prefix": "roce", "network_report_directory": str(place / "report")}
    return railed.inventory(place / "trees", **own, **variables)


def report(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "report/network.json").read_text(encoding="utf-8"))["hosts"]
    return {host: row for host, row in found.items() if row["interfaces"]}


def names(found: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Return host and permanent address to the name that it gets."""
    return {(host, row["mac"]): row["after"] for host, own in found.items() for row in own["interfaces"]}


WANTED = {(host, railed.mac(host, rail)): f"roce{rail}" for host in NAMES for rail in range(RAILS)}


def test_twelve_hosts_four_of_them_first(tmp_path: Path) -> None:
    inventory = fleet(tmp_path)
    done = run(tmp_path, "-i", str(inventory), *DRY)
    assert done.returncode == 0, done.stdout + done.stderr
    found = report(tmp_path)
    rows = [row for own in found.values() for row in own["interfaces"]]
    assert (len(rows), names(found)) == (96, WANTED)
    assert "96 interfaces of 12 hosts, 96 of them would get another name" in done.stdout
    table = [re.split(r" {2,}", line) for line in done.stdout.splitlines() if re.match(r"[pd]\d .*roce\d", line)]
    assert table == [
        [host, railed.former(host, rail), f"roce{rail}", railed.pci(rail), str(rail), str(NETS[rail])]
        for host in NAMES for rail in range(RAILS)
    ]
    for host in ("p0", "d0"):
        script = f"50-rails:2 names {railed.former(host, 0)}: "
        assert script in done.stdout
    assert "/etc/NetworkManager/system-connections/roce7.nmconnection" in done.stdout
    assert (tmp_path / "report/network.txt").read_text(encoding="utf-8").splitlines()[0] in done.stdout

    limit = ["--limit", ",".join([*FIRST, "r0"])]
    assert run(tmp_path, "-i", str(inventory), *DRY, *limit).returncode == 0
    assert names(report(tmp_path)) == {key: name for key, name in WANTED.items() if key[0] in FIRST}
    for host in FIRST:
        railed.done(tmp_path / "trees", host)
    rest = [host for host in NAMES if host not in FIRST]
    assert run(tmp_path, "-i", str(inventory), *DRY, "--limit", ",".join(rest)).returncode == 0
    assert names(report(tmp_path)) == {key: name for key, name in WANTED.items() if key[0] in rest}
    assert run(tmp_path, "-i", str(inventory), *DRY).returncode == 0
    found = report(tmp_path)
    assert names(found) == WANTED
    still = {host for host, own in found.items() if not own["actions"]}
    assert still == set(FIRST)
    assert all(row["before"] == row["after"] for host in FIRST for row in found[host]["interfaces"])


def test_a_nic_that_is_dead_later_shifts_no_name(tmp_path: Path) -> None:
    inventory = fleet(tmp_path, "p0", "p1")
    railed.done(tmp_path / "trees", "p0", railed.Odd(missing=[3]))
    done = run(tmp_path, "-i", str(inventory), *DRY, "--limit", "p0,p1")
    assert done.returncode == 0, done.stdout + done.stderr
    found = report(tmp_path)
    own = {row["mac"]: (row["before"], row["after"]) for row in found["p0"]["interfaces"] if row["before"]}
    alive = [rail for rail in range(RAILS) if rail != 3]
    assert own == {railed.mac("p0", rail): (f"roce{rail}", f"roce{rail}") for rail in alive}
    assert (found["p0"]["refused"], found["p0"]["actions"]) == ([], [])
    assert any("roce3" in note for note in found["p0"]["notes"])


@pytest.mark.full
def test_a_host_whose_map_is_not_known_yet_is_refused_with_a_dead_nic(tmp_path: Path) -> None:
    inventory = fleet(tmp_path, "p1")
    railed.write(tmp_path / "other", "p0", odd=railed.Odd(missing=[3]))
    variables = ["-e", json.dumps({"network_root": f"{tmp_path}/other/p0"})]
    done = run(tmp_path, "-i", str(inventory), *DRY, *variables, "--limit", "p0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rail 3 is not in the GPU map" in done.stdout
    assert re.search(r"NICs serve different numbers of GPUs \(mlx5_0 \d, mlx5_1 \d, mlx5_2 \d, mlx5_4 \d", done.stdout)
    assert report(tmp_path) == {}


NEW_CARD = "02:01:00:00:00:77"
REPLACED = railed.Odd(bare=[3], macs={3: NEW_CARD})


@pytest.mark.parametrize("name", ["railyard.sglang.network", pytest.param("railyard.sglang.site", marks=pytest.mark.full)])
def test_a_card_that_was_replaced_gets_the_name_of_its_rail(tmp_path: Path, name: str) -> None:
    inventory = fleet(tmp_path, "p0", "p1", network_remap=True)
    railed.done(tmp_path / "trees", "p0", REPLACED)
    railed.done(tmp_path / "trees", "p1")
    tags = ["--tags", "network", "-e", json.dumps({"planned_root": f"{tmp_path}/trees/{{{{ inventory_hostname }}}}"})]
    done = run(tmp_path, "-i", str(inventory), *DRY, "--limit", "p0,p1", *(tags if name.endswith("site") else []), name=name)
    assert done.returncode == 0, done.stdout + done.stderr
    found = report(tmp_path)
    own = {row["mac"]: (row["before"], row["after"]) for row in found["p0"]["interfaces"]}
    assert own[NEW_CARD] == (railed.former("p0", 3), "roce3")
    assert {before == after for mac, (before, after) in own.items() if mac != NEW_CARD} == {True}
    assert f"rename {railed.former('p0', 3)} to roce3" in found["p0"]["actions"]
    assert found["p1"]["actions"] == []
    assert "[rule facts.no-gid]" in done.stderr


def test_all_stages_are_refused_with_a_card_that_has_no_address(tmp_path: Path) -> None:
    inventory = fleet(tmp_path, "p0", "p1", network_remap=True)
    railed.done(tmp_path / "trees", "p0", REPLACED)
    railed.done(tmp_path / "trees", "p1")
    root = ["-e", json.dumps({"planned_root": f"{tmp_path}/trees/{{{{ inventory_hostname }}}}", "planned_converge": False})]
    done = run(tmp_path, "-i", str(inventory), "--limit", "p0,p1", *root, name="railyard.sglang.site")
    assert done.returncode != 0
    assert "- sglang_rdma_devices (host p0): mlx5_3: no RoCE v2 GID" in done.stdout
    assert "playbooks/network.yml, for a new card with network_remap: true" in done.stdout
    assert "PLAY [Preflight]" not in done.stdout


@pytest.mark.full
def test_an_interface_whose_name_a_kernel_has_changed(tmp_path: Path) -> None:
    # The first rail has the fabric address, which no interface has then.
    inventory = fleet(tmp_path, "p0", "p1")
    railed.done(tmp_path / "trees", "p0", railed.Odd(bare=[0], macs={0: railed.mac("p0", 0)}))
    done = run(tmp_path, "-i", str(inventory), *DRY, "--limit", "p0,p1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"rename {railed.former('p0', 0)} to roce0" in report(tmp_path)["p0"]["actions"]


@pytest.mark.full
@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_port_that_is_down(tmp_path: Path, state: str) -> None:
    inventory = fleet(tmp_path, "p0", "p1", network_state=state)
    for host in ("p0", "p1"):
        railed.done(tmp_path / "trees", host, railed.Odd(down=[3]) if host == "p0" else railed.FINE)
    done = run(tmp_path, "-i", str(inventory), *DRY, "--limit", "p0,p1")
    assert done.returncode == 0, done.stdout + done.stderr
    found = report(tmp_path)["p0"]
    rail = {row["before"]: row["after"] for row in found["interfaces"]}
    assert rail == {f"roce{rail}": f"roce{rail}" if state == "present" else railed.former("p0", rail) for rail in range(RAILS)}
    assert "facts.port-missing" in done.stderr


@pytest.mark.full
def test_devices_that_the_inventory_names_as_they_were_called(tmp_path: Path) -> None:
    own = {"network_rdma_names": "mlx5_rail{rail}", "sglang_rdma_devices": [f"mlx5_{rail}" for rail in range(RAILS)]}
    done = run(tmp_path, "-i", str(fleet(tmp_path, "p0", "p1", **own)), *DRY, "--limit", "p0,p1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Write ["mlx5_rail0", "mlx5_rail1", ' in done.stderr
    assert {row["rdma_after"] for row in report(tmp_path)["p0"]["interfaces"]} == {f"mlx5_rail{rail}" for rail in range(RAILS)}


@pytest.mark.full
def test_devices_that_the_inventory_names_as_they_are_to_be_called(tmp_path: Path) -> None:
    own = {"network_rdma_names": "mlx5_rail{rail}", "sglang_rdma_devices": [f"mlx5_rail{rail}" for rail in range(RAILS)]}
    done = run(tmp_path, "-i", str(fleet(tmp_path, "p0", "p1", **own)), *DRY, "--limit", "p0,p1")
    assert done.returncode != 0
    assert "the host does not have all devices that the inventory names: mlx5_rail0, " in done.stdout
    assert "those of network_rdma_names are written once this stage has given them" in done.stdout


def test_a_dry_run_of_all_stages_is_refused(tmp_path: Path) -> None:
    local = ["-e", '{"ansible_connection": "local", "sglang_become": false}']
    done = run(tmp_path, "-i", str(GOLDEN), *local, *DRY, name="railyard.sglang.site")
    assert done.returncode != 0
    assert "network_dry_run: is true, and the other stages of this run would change hosts [rule run.dry-stages]" in done.stdout
    assert "PLAY [Preflight]" not in done.stdout


def test_a_tree_is_not_changed(tmp_path: Path) -> None:
    done = run(tmp_path, "-i", str(fleet(tmp_path, "p0")), "--limit", "p0")
    assert done.returncode != 0
    assert "network_root is " in done.stdout
    assert "nothing was changed on any host" in done.stdout


def test_a_written_interface_that_would_be_called_otherwise(tmp_path: Path) -> None:
    done = run(tmp_path, "-i", str(fleet(tmp_path, "p0", "d0", sglang_fabric_interface="enp20s0f1np1")), *DRY, "--limit", "p0,d0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sglang_fabric_interface is enp20s0f1np1, which becomes roce0" in done.stdout
    assert len(report(tmp_path)["p0"]["refused"]) == len(report(tmp_path)["d0"]["refused"]) + 1


@pytest.mark.parametrize("words", [["--tags", "network"], ["--tags", "network", "--check"]])
def test_a_cluster_that_asks_for_nothing_pays_nothing(tmp_path: Path, words: list[str]) -> None:
    local = ["-e", '{"ansible_connection": "local", "sglang_become": false}']
    done = run(tmp_path, "-i", str(GOLDEN), *local, *words, name="railyard.sglang.site")
    assert done.returncode == 0, done.stdout + done.stderr
    plays = dict(re.findall(r"^PLAY \[(.*?)\] \**\n(.*?)(?=^PLAY )", done.stdout, re.S | re.M))
    for name in ("Network", "Network, host by host", "Network, firewall"):
        assert plays[name].strip() == "skipping: no hosts matched"
    assert "Could not match supplied host pattern" not in done.stderr + done.stdout


def test_check_mode_goes_on_with_the_new_names(tmp_path: Path) -> None:
    done = run(tmp_path, "-i", str(fleet(tmp_path, "p0", "p1")), "--check", "-v", "--limit", "p0,p1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "report").exists()
    before, _title, after = done.stdout.partition("PLAY [Network, in check mode]")
    assert '"GLOO_SOCKET_IFNAME": "enp20s0f1np1"' in before
    assert '"GLOO_SOCKET_IFNAME": "roce0"' in after
    assert '"GLOO_SOCKET_IFNAME": "enp20s0f1np1"' not in after
