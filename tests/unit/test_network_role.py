# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What role network asks of nic_names, by Ansible itself, and what it refuses before it looks at a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import journal, plan_checks
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic, Plan, Rename, Seen, Wanted
from ansible_collections.railyard.sglang.plugins.module_utils.report import interfaces
from ansible_collections.railyard.sglang.plugins.modules import host_firewall, nic_names

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles" / "network"
DRY = {"network_dry_run": True}
NINE = [f"mlx5_{rail}" for rail in range(9)]


def slice_(
    gpus: list[list[int]] | None = None, written: list[str] | None = None, missing: list[str] | None = None, **more: Any,
) -> dict[str, Any]:
    """Return a host's slice of the plan, with a rail for each list of GPUs."""
    served = [[rail] for rail in range(8)] if gpus is None else gpus
    rails = [
        {"rail": rail, "gpus": own, "netdev": f"ens{rail}", "pci": f"0000:{rail:02x}:00.0", "device": f"mlx5_{rail}"}
        for rail, own in enumerate(served)
    ]
    rank = {"unit": "sglang-prefill-0.service", "directory": "/etc/sglang/prefill-0"}
    rdma = {"known": True, "rails": rails, "selection": {"expected_devices": None, "include": written}, "missing": missing or []}
    return {"rdma": rdma, "ranks": [rank], "fabric_interface": "eno1", **more}


def role(host: dict[str, Any], *names: str, **variables: Any) -> Any:
    """Return values of variables of the role, a single one as it is."""
    loader = DataLoader()
    files = [str(ROLE / directory / "main.yml") for directory in ("defaults", "vars")]
    defaults, own = (loader.load_from_file(path, trusted_as_template=True) for path in files)
    given = {**defaults, "ansible_check_mode": False, **variables, **own, "sglang_host": host}
    templar = Templar(loader, given)
    found = [templar.template(given[name]) for name in names]
    return found[0] if len(found) == 1 else found


def test_nothing_is_asked_for_by_default() -> None:
    assert role(slice_(), "__network_nics", "__network_refusals") == [[], []]


def test_names_by_rail() -> None:
    nics, rails, carries = role(
        slice_(), "__network_nics", "__network_rails", "__network_carries", network_prefix="roce", network_rdma_names="mlx5_rail{rail}",
    )
    assert nics == [{"name": f"roce{rail}", "rail": rail, "rdma": f"mlx5_rail{rail}", "mtu": None} for rail in range(8)]
    assert rails == {str(rail): f"ens{rail}" for rail in range(8)}
    assert carries == [*(f"ens{rail}" for rail in range(8)), "eno1"]


@pytest.mark.parametrize(
    ("given", "mtus"),
    [({}, [None, None]), (9000, [9000, 9000]), ("9000", ["9000", "9000"]), ({0: 9000}, [9000, None]), ({"1": 4200, 0: 9000}, [9000, 4200])],
)
def test_mtus(given: Any, mtus: list[Any]) -> None:
    nics = role(slice_([[0], [1]]), "__network_nics", network_prefix="roce", network_rail_mtu=given)
    assert [nic["mtu"] for nic in nics] == mtus


def test_interfaces_one_by_one_win_over_names_by_rail() -> None:
    given = [{"name": "mgmt0", "mac": "02:00:00:00:00:01"}, {"name": "fab1", "rail": 1}, {"name": "fab2", "rail": 2, "mtu": 1500}]
    nics = role(slice_(), "__network_nics", network_prefix="roce", network_interfaces=given, network_rail_mtu=9000)
    assert nics[-3:] == [{"mtu": None, "rdma": "", **given[0]}, {"mtu": 9000, "rdma": "", **given[1]}, {"rdma": "", **given[2]}]
    # The prefix names the rails that no row names.
    assert [(nic["name"], nic["rail"]) for nic in nics[:-3]] == [(f"roce{rail}", rail) for rail in (0, 3, 4, 5, 6, 7)]


def test_a_rail_that_is_named_by_its_place_is_one() -> None:
    given = [
        {"name": "fast0", "pci": "0000:01:00.0"}, {"name": "stor0", "pci": "0000:99:00.0"},
        {"name": "fab3", "rail": 3, "rdma": "mlx5_x"},
    ]
    names = {"network_rail_mtu": {1: 4200, 3: 9000}, "network_rdma_names": "mlx5_rail{rail}"}
    nics = role(slice_(), "__network_nics", network_prefix="roce", network_interfaces=given, **names)
    assert [nic["name"] for nic in nics] == ["roce0", "roce2", "roce4", "roce5", "roce6", "roce7", "fast0", "stor0", "fab3"]
    assert nics[-3:] == [
        {**given[0], "mtu": 4200, "rdma": "mlx5_rail1"}, {**given[1], "mtu": None, "rdma": ""}, {**given[2], "mtu": 9000},
    ]


def test_interfaces_by_rail_without_a_prefix() -> None:
    given = [{"name": f"fab{rail}", "rail": rail} for rail in range(2)]
    nics = role(slice_(), "__network_nics", network_interfaces=given, network_rdma_names="mlx5_rail{rail}", network_rail_mtu=9000)
    assert nics == [{**row, "mtu": 9000, "rdma": f"mlx5_rail{row['rail']}"} for row in given]


@pytest.mark.parametrize(
    ("more", "variables", "known"),
    [
        ({"missing": ["mlx5_7:1"]}, {}, False),
        # Nobody misses the second ports of cards.
        ({"missing": ["mlx5_7:1"]}, {"sglang_waive": {"facts.port-missing": "second ports are not used"}}, True),
        ({"written": [f"mlx5_{rail}" for rail in range(9)]}, {}, False),
        ({"written": [f"mlx5_{rail}" for rail in range(8)]}, {}, True),
    ],
)
def test_rails_of_a_host_with_a_port_that_is_down_are_left_to_the_record(
    more: dict[str, Any], variables: dict[str, Any], known: bool,
) -> None:
    assert bool(role(slice_(**more), "__network_rails", network_prefix="roce", **variables)) is known


@pytest.mark.parametrize(
    ("gpus", "count", "known"),
    [
        ([[rail] for rail in range(8)], 8, True),
        # Two GPUs to a NIC.
        ([[0, 1], [2, 3], [4, 5], [6, 7]], 4, True),
        # A host without GPUs, and one with two NICs to a GPU.
        ([[], []], 2, True),
        ([[0], [0], [1], [1]], 4, True),
        # NIC 3 is dead, and GPU 3 shares another's: rows 3 and on have the numbers of others.
        ([[0], [1], [2, 3], [4], [5], [6], [7]], 8, False),
        # GPU 3 is dead: a NIC serves none, and rows are in another order.
        ([[0], [1], [2], [], [3], [4], [5], [6]], 8, False),
    ],
)
def test_rails_that_are_out_of_step_with_gpus_are_left_to_the_record(gpus: list[list[int]], count: int, known: bool) -> None:
    nics, rails = role(slice_(gpus), "__network_nics", "__network_rails", network_prefix="roce")
    assert [nic["name"] for nic in nics] == [f"roce{rail}" for rail in range(count)]
    assert rails == ({str(rail): f"ens{rail}" for rail in range(count)} if known else {})


def test_the_number_of_devices_that_the_inventory_expects() -> None:
    host = slice_([[0], [1, 2]])
    host["rdma"]["selection"]["expected_devices"] = 4
    assert [nic["rail"] for nic in role(host, "__network_nics", network_prefix="roce")] == [0, 1, 2, 3]


def test_the_former_names_are_asked_for_without_any() -> None:
    given = {"network_prefix": "roce", "network_interfaces": [{"name": "a", "rail": 0}], "network_rail_mtu": 9000}
    assert role(slice_(), "__network_nics", "__network_refusals", network_state="absent", **given) == [[], []]


@pytest.mark.parametrize(
    ("host", "variables", "text"),
    [
        (slice_(), {"network_batch": 0}, "network_batch is 0. Fix: 1 or more hosts"),
        (slice_(), {"network_root": "/srv/tree"}, "network_root is /srv/tree"),
        (slice_(), {"network_root": "/srv/tree", **DRY}, ""),
        (slice_(), {"network_root": "/srv/tree", "ansible_check_mode": True}, ""),
        (slice_(), {"network_prefix": "roce", "network_rdma_names": "mlx5_rail"}, "network_rdma_names is mlx5_rail. Fix: a name with"),
        (slice_(), {"network_prefix": "roce", "network_rdma_names": "rail{rail}"}, "network_rdma_names is rail{rail}. Fix: a name with"),
        (slice_(), {"network_prefix": "roce", "network_rdma_names": "mlx5_r{rail}"}, ""),
        (slice_(), {"network_rdma_names": "mlx5_r{rail}"}, "network_rail_mtu and network_rdma_names go with rails"),
        (slice_(), {"network_rail_mtu": 9000}, "network_rail_mtu and network_rdma_names go with rails"),
        (slice_(), {"network_rail_mtu": 9000, "network_interfaces": [{"name": "stor0", "pci": "0000:99:00.0"}]}, "network_rail_mtu and"),
        (slice_(), {"network_rail_mtu": 9000, "network_interfaces": [{"name": "fab0", "pci": "0000:01:00.0"}]}, ""),
        (slice_(), {"network_rdma_names": "mlx5_r{rail}", "network_interfaces": [{"name": "fab0", "rail": 3}]}, ""),
        (slice_(ranks=[]), {"network_rail_mtu": 9000}, ""),
        (slice_(rdma=None), {"network_prefix": "roce"}, "the plan has no rails, since the cluster uses no RDMA. Fix: name the interfaces"),
        (slice_(rdma=None), {"network_interfaces": [{"name": "fab9", "pci": "0000:01:00.0"}], "network_prefix": "roce"}, ""),
        (slice_(rdma={"known": False}), {"network_prefix": "roce"}, "the plan does not know the rails of this host yet"),
        (slice_([]), {"network_prefix": "roce"}, "no port of this host carries data"),
        (slice_([], written=["mlx5_rail0"]), {"network_prefix": "roce"}, "not have all devices that the inventory names: mlx5_rail0."),
        (slice_(written=NINE), {"network_prefix": "roce", "network_remap": True}, "not have all devices that the inventory names"),
        (slice_(written=NINE), {"network_prefix": "roce"}, ""),
        (slice_(written=NINE[:8]), {"network_prefix": "roce", "network_remap": True}, ""),
        (slice_([]), {"network_prefix": "roce", "network_interfaces": [{"name": "fab9", "pci": "0000:99:00.0"}]}, "no port of this"),
        # A router's host in a cluster with names by rail.
        (slice_(rdma=None, ranks=[]), {"network_prefix": "roce"}, ""),
    ],
)
def test_refusals(host: dict[str, Any], variables: dict[str, Any], text: str) -> None:
    found = role(host, "__network_refusals", **variables)
    assert len(found) == bool(text), found
    assert not text or (text in found[0] and "Fix: " in found[0])


def test_units_whose_files_name_a_former_name_stay_stopped() -> None:
    host = slice_()
    host["ranks"].append({"unit": "sglang-prefill-01.service", "directory": "/etc/sglang/prefill-01"})
    references = [{"path": path} for path in ("/etc/sglang/prefill-01/environment", "/etc/sglang/prefill-01/arguments.yaml", "/etc/x")]
    assert role(host, "__network_outdated", __network_looked={"references": references}) == ["sglang-prefill-01.service"]
    more = [{"path": "/etc/sglang/prefill-01/environment", "places": 2}]
    assert role(host, "__network_outdated", __network_looked={"references_more": more}) == ["sglang-prefill-01.service"]
    assert role(host, "__network_outdated", __network_looked={}) == []


ROW = {"before": "ens0", "after": "ens0", "rdma_before": "mlx5_0", "rdma_after": "mlx5_0"}


@pytest.mark.parametrize(
    ("row", "outdated"),
    [
        ({"after": "roce0"}, True),
        ({"rdma_after": "mlx5_rail0"}, True),
        ({"before": "eno1", "after": "fab0"}, True),
        ({"before": "ens99", "after": "stor0"}, False),
        ({"mtu_before": 1500, "mtu_after": 9000}, False),
        ({"before": "", "after": "roce0", "rdma_before": "", "rdma_after": "mlx5_rail0"}, False),
    ],
)
def test_units_of_a_host_whose_rails_have_other_names_stay_stopped(row: dict[str, Any], outdated: bool) -> None:
    found = role(slice_(), "__network_outdated", __network_looked={"rows": [{**ROW, **row}], "references": []})
    assert found == (["sglang-prefill-0.service"] if outdated else [])


@pytest.mark.parametrize(
    ("looked", "due"),
    [
        ({"actions": ["rename a to b"], "transaction": ""}, True),
        ({"actions": [], "transaction": "t1"}, True),
        ({"actions": [], "transaction": ""}, False),
        ({"skipped": True}, False),
    ],
)
def test_hosts_that_change_or_wait_to_be_confirmed_are_due(looked: dict[str, Any], due: bool) -> None:
    assert role(slice_(), "__network_due", __network_looked=looked) is due


def tasks(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROLE / "tasks" / name).read_text(encoding="utf-8"))
    return found + [task for block in found for part in ("block", "rescue") for task in block.get(part, [])]


def test_the_look_asks_for_what_is_done() -> None:
    calls = [task["railyard.sglang.nic_names"] for name in ("look.yml", "change.yml") for task in tasks(name)
             if "railyard.sglang.nic_names" in task]
    # Once to look, once to change, once more where the connection broke.
    assert len(calls) == 3
    assert calls[1] == calls[2]
    # Whether an engine is in the way is asked, and then it is stopped; what runs all the same is in the way still.
    assert calls[0] == calls[1]
    assert calls[0]["allow_disruption"] is False
    assert set(calls[0]) == set(nic_names.ARGUMENTS)


def test_only_the_look_is_in_check_mode() -> None:
    (look,) = [task for task in tasks("look.yml") if "railyard.sglang.nic_names" in task]
    assert look["check_mode"] is True
    assert not any("check_mode" in task for task in tasks("change.yml"))


@pytest.mark.parametrize(
    ("named", "asked", "transaction"),
    [
        ({"transaction": "t1"}, {"skipped": True}, "t1"),
        ({"unreachable": True}, {"transaction": "t1"}, "t1"),
        ({"unreachable": True}, {"transaction": ""}, ""),
        ({"transaction": ""}, {"skipped": True}, ""),
    ],
)
def test_the_transaction_that_is_confirmed(named: dict[str, Any], asked: dict[str, Any], transaction: str) -> None:
    assert role(slice_(), "__network_transaction", __network_named=named, __network_asked=asked) == transaction


def test_documentation_names_every_variable() -> None:
    specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]
    text = (ROOT / "docs/network.md").read_text(encoding="utf-8")
    assert [name for name in specs["main"]["options"] if f"| `{name}` |" not in text] == []
    assert specs["look"] == specs["firewall"] == specs["main"]


def test_ports_of_the_fabric_test() -> None:
    assert role(slice_(), "__network_firewall_test_ports") == ["18515-18578", "18700-18707"]
    assert role(slice_([]), "__network_firewall_test_ports", fabric_tcp_port=20000) == ["20000-20007", "18700-18707"]


@pytest.mark.parametrize(
    ("variables", "filters"),
    [
        ({}, False),
        ({"network_firewall": True}, True),
        ({"network_state": "absent"}, True),
        ({"network_state": "absent", "network_firewall": True}, True),
        ({"network_firewall_state": "absent"}, True),
        ({"network_firewall": True, "network_root": "/srv/tree"}, False),
    ],
)
def test_when_the_filter_is_looked_at(variables: dict[str, Any], filters: bool) -> None:
    assert role(slice_(), "__network_filtering", **variables) is filters


@pytest.mark.parametrize(
    ("variables", "state"),
    [
        ({}, "present"),
        ({"network_state": "absent"}, "absent"),
        # Who wants the filter keeps it when names go back.
        ({"network_state": "absent", "network_firewall": True}, "present"),
        ({"network_firewall": True, "network_firewall_state": "absent"}, "absent"),
    ],
)
def test_the_filter_goes_with_the_names_only_where_nobody_asks_for_it(variables: dict[str, Any], state: str) -> None:
    assert role(slice_(), "network_firewall_state", **variables) == state


IN_THE_WAY = "sglang-prefill-0.service runs and uses ens0. Fix: network_drain: true stops it before and starts it after; or stop it first"


def test_what_is_in_the_way_is_known_by_its_text() -> None:
    seen = Seen(nics=(Nic("ens0", permanent_mac="02:00:5e:00:53:01"),), serving=("sglang-a.service",))
    plan = Plan(renames=[Rename("02:00:5e:00:53:01", "ens0", "roce0")])
    (text,) = plan_checks.consent(seen, Wanted(), plan, {"ens0"})
    assert role(slice_(), "__network_running", __network_looked={"problems": [text]}) == ["sglang-a.service"]
    assert interfaces.refused({"looked": {"problems": [text]}, "drain": True, "units": ["sglang-a.service"]}) == []


STRANGER = IN_THE_WAY.replace("prefill-0", "old")
BOTH = IN_THE_WAY.replace(" runs", ", sglang-old.service runs")
REFUSED = "{} runs and uses what changes, and is no unit of the plan on this host, which network_drain does not stop. Fix: stop it first"
OTHER = "Interfaces are changed only with consent. Fix: see the dry run, then set network_allow_rename: true"


@pytest.mark.parametrize(
    ("variables", "problems", "draining", "refused"),
    [
        ({"network_drain": True}, [IN_THE_WAY], True, []),
        ({"network_drain": True}, [IN_THE_WAY, OTHER], True, [OTHER]),
        # A NIC that no engine uses, a record, a confirmation: nothing is stopped.
        ({"network_drain": True}, [], False, []),
        # Nothing is in the way of the next boot, and nothing is stopped for it.
        ({"network_drain": True, "network_apply": "boot"}, [], False, []),
        ({}, [IN_THE_WAY], False, [IN_THE_WAY]),
        # What no plan of this host has is stopped by nobody.
        ({"network_drain": True}, [STRANGER], False, [REFUSED.format("sglang-old.service")]),
        ({"network_drain": True}, [BOTH], True, [REFUSED.format("sglang-old.service")]),
    ],
)
def test_engines_are_stopped_where_they_are_in_the_way(
    variables: dict[str, Any], problems: list[str], draining: bool, refused: list[str],
) -> None:
    told = {"refused": {"p0": problems}}
    given = {"__network_looked": {"problems": problems}, "__network_told": told, "inventory_hostname": "p0"}
    assert role(slice_(), "__network_draining", "__network_refused", **given, **variables) == [draining, refused]


NOT_AS_BEFORE = "It was undone, but this is not as it was: ens0 has no address."
BY_ITSELF = "The host undoes by itself what was not confirmed, at the latest 90 s"
GONE_BACK = "It was undone at once: names, files and addresses are the former ones."
LOST = {"unreachable": True, "changed": False, "msg": "Connection reset by peer"}


@pytest.mark.parametrize(
    ("failed", "answers", "said"),
    [
        ("no answer", {"back": {"changed": True}}, f"Keep the names: no answer {GONE_BACK}"),
        ("no answer", {"back": {"skipped": True}}, f"Keep the names: no answer {BY_ITSELF}"),
        ("no answer", {}, f"Keep the names: no answer {BY_ITSELF}"),
        ("no answer", {"back": LOST}, f"Keep the names: no answer {BY_ITSELF}"),
        ("no answer", {"back": {"msg": NOT_AS_BEFORE}}, f"Keep the names: no answer {NOT_AS_BEFORE}"),
        ("no answer", {"closed": {"state": "absent"}}, "Keep the names: no answer Nothing is open on it any more: names, files and"),
        (NOT_AS_BEFORE, {"back": {"skipped": True}}, f"Keep the names: {NOT_AS_BEFORE}"),
        ("it broke. Everything was undone.", {"back": {"skipped": True}}, "Keep the names: it broke. Everything was undone."),
        ("it is refused. Nothing was changed on this host.", {}, "Keep the names: it is refused. Nothing was changed on this host."),
        # The confirmation came to its end, and only its answer was lost.
        ("no answer", {"kept": LOST, "back": {"changed": False, "transaction": "t1"}, "kept_after": {"transaction": "t1"}},
         "Keep the names: no answer The names were kept all the same: the host has the new ones."),
        ("no answer", {"kept": LOST, "kept_again": {"changed": False, "transaction": "t1"}},
         "Keep the names: no answer The names were kept all the same: the host has the new ones."),
        ("it does not start", {"kept": {"changed": True, "transaction": "t1"}},
         "Keep the names: it does not start The names were kept all the same: the host has the new ones."),
    ],
)
def test_what_became_of_a_host_is_what_the_module_says(failed: str, answers: dict[str, Any], said: str) -> None:
    given = {f"__network_{name}": row for name, row in answers.items()}
    found = role(slice_(), "__network_said", **given, __network_why=f"Keep the names: {failed}", network_confirm_seconds=90).strip()
    assert found.startswith(said)
    assert ("are the former ones then" in found) is ("The host undoes" in said)


RENAMED = {"problems": [IN_THE_WAY], "rows": [{"before": "ens0", "after": "roce0", "rdma_before": "", "rdma_after": ""}]}


@pytest.mark.parametrize(
    ("answers", "why", "starting"),
    [
        # Its files name what has another name now.
        ({"stopped": {"units": ["sglang-prefill-0.service"]}, "kept": {"transaction": "t1"}}, "", []),
        ({"stopped": {"units": ["sglang-prefill-0.service"]}, "kept": {"transaction": "t1"}}, "it broke", []),
        ({"stopped": {"units": ["sglang-prefill-0.service"]}, "kept": LOST}, "it broke", ["sglang-prefill-0.service"]),
        ({"stopped": {"units": []}, "kept": LOST}, "it broke", []),
        # Nobody heard whether it was stopped: it ran.
        ({"stopped": LOST}, "it broke", ["sglang-prefill-0.service"]),
        ({"stopped": {"failed": True, "msg": "it does not stop"}}, "it does not stop", ["sglang-prefill-0.service"]),
    ],
)
def test_engines_that_are_started_again(answers: dict[str, Any], why: str, starting: list[str]) -> None:
    given = {f"__network_{name}": row for name, row in answers.items()} | ({"__network_why": why} if why else {})
    assert role(slice_(), "__network_starting", network_drain=True, __network_looked=RENAMED, **given) == starting


def modules(block: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return tasks with those of blocks in their place, each knowing whether it survives a broken connection."""
    found = []
    for task in block:
        inner = [row for part in ("block", "rescue") for row in task.get(part, [])]
        survives = task.get("ignore_unreachable", False)
        found += [{"ignore_unreachable": survives, **row} for row in modules(inner)] if inner else [task]
    return found


@pytest.mark.parametrize(("name", "count"), [("change.yml", 10), ("firewall.yml", 1), ("firewall_confirm.yml", 6)])
def test_no_broken_connection_drops_a_host_in_silence(name: str, count: int) -> None:
    reaching = [
        task for task in modules(yaml.safe_load((ROLE / "tasks" / name).read_text(encoding="utf-8")))
        if any(name.startswith("railyard.sglang.") or name == "ansible.builtin.wait_for" for name in task)
    ]
    assert len(reaching) == count
    assert [task["name"] for task in reaching if not task.get("ignore_unreachable")] == []


def test_the_filter_is_asked_for_again_as_it_was() -> None:
    first, again = (
        [task["railyard.sglang.host_firewall"] for task in tasks(name) if "state" in task.get("railyard.sglang.host_firewall", {})]
        for name in ("firewall.yml", "firewall_confirm.yml")
    )
    assert len(first) == 1
    assert first == again
    assert set(first[0]) == set(host_firewall.ARGUMENTS) - {"confirm", "undo"}


ANSWER = {"changed": False, "zones": {}, "transaction": ""}


@pytest.mark.parametrize(
    ("failed", "answers", "said"),
    [
        ("no answer", {"filter_back": {**ANSWER, "changed": True}}, "It was undone at once: the host has its former filter again."),
        # The timer has come before.
        ("no answer", {"filter_back": ANSWER, "filter_kept_after": {"msg": "Change t1 was undone"}}, "Nothing is open on it any more"),
        ("no answer", {"filter_back": ANSWER, "filter_kept_after": ANSWER}, "The filter was kept all the same"),
        ("no answer", {"filter_kept": LOST, "filter_kept_again": ANSWER}, "The filter was kept all the same"),
        ("no answer", {"filter_back": {"msg": "It could not be given back wholly"}}, "It could not be given back wholly"),
        ("no answer", {"filter_back": LOST}, "The host undoes by itself what was not confirmed, 50 s after it began, and tries again"),
        ("no answer", {}, "The host undoes by itself what was not confirmed, 50 s after it began"),
        ("no answer", {"filter_closed": {"results": [{"state": "absent"}, {"state": "absent"}]}}, "Nothing is open on it any more"),
        ("no answer", {"filter_closed": {"results": [{"state": "absent"}, {"failed": True}]}}, "The host undoes by itself"),
        ("Change t1 was undone: it was not confirmed in time. The host has its former filter.", {"filter_back": {"skipped": True}}, ""),
    ],
)
def test_what_became_of_a_filter_is_what_the_module_says(failed: str, answers: dict[str, Any], said: str) -> None:
    given = {f"__network_{name}": row for name, row in answers.items()}
    why = f"Keep the filter: {failed}"
    found = role(slice_(), "__network_filter_said", **given, __network_filter_why=why, network_firewall_confirm_seconds=50)
    assert " ".join(found.split()).startswith(f"{why} {said}".strip())
    assert ("undoes by itself" in found) is ("undoes by itself" in said)


@pytest.mark.parametrize(
    ("filtered", "again", "transaction"),
    [
        ({"transaction": "t1"}, {"skipped": True}, "t1"),
        (LOST, {"transaction": "t2"}, "t2"),
        (LOST, LOST, ""),
        ({"transaction": ""}, None, ""),
    ],
)
def test_the_change_of_the_filter_that_is_confirmed(filtered: dict[str, Any], again: dict[str, Any] | None, transaction: str) -> None:
    given = {"__network_filtered": filtered, **({"__network_filtered_again": again} if again else {})}
    assert role(slice_(), "__network_filter_transaction", **given) == transaction


def test_no_engine_starts_before_the_host_is_back() -> None:
    change = yaml.safe_load((ROLE / "tasks/change.yml").read_text(encoding="utf-8"))
    (rescue,) = [task["block"] for row in change for task in row.get("rescue", []) if "block" in task]
    names = [next(key for key in task if "." in key) for task in rescue]
    waits, starts = names.index("ansible.builtin.wait_for"), names.index("railyard.sglang.service_state")
    assert waits < starts
    assert rescue[waits]["ansible.builtin.wait_for"]["path"] == journal.PENDING
    assert rescue[waits]["ansible.builtin.wait_for"]["state"] == "absent"


def test_no_condition_is_on_what_drops_the_connection() -> None:
    # Ansible warns of it, and does it all the same.
    imports = [task for play in plays("names.yml").values() for task in play["tasks"] if "ansible.builtin.import_role" in task]
    imports += [task for task in tasks("main.yml") if "ansible.builtin.import_tasks" in task]
    assert len(imports) == 5
    assert [task["name"] for task in imports if "when" in task] == []


def plays(name: str) -> dict[str, dict[str, Any]]:
    found = DataLoader().load_from_file(str(ROOT / "playbooks" / name), trusted_as_template=True)
    return {play["name"]: play for play in found}


def templated(value: Any, **variables: Any) -> Any:
    return Templar(DataLoader(), variables).template(value)


@pytest.mark.parametrize(
    ("name", "group"), [("Network, host by host", "sglang_network_change"), ("Network, firewall", "sglang_plan_firewall")],
)
def test_one_host_first_and_any_failure_ends_the_run(name: str, group: str) -> None:
    play = plays("names.yml")[name]
    # The other hosts of a batch come to its end before a failure ends the run.
    assert "any_errors_fatal" not in play
    assert [task["name"] for task in play["tasks"] if "any_errors_fatal" in task] == [play["tasks"][-1]["name"]]
    none, some = {"groups": {}, "hostvars": {}}, {"groups": {group: ["p0"]}, "hostvars": {"p0": {}}}
    own = {"groups": {group: ["p0"]}, "hostvars": {"p0": {"network_batch": 8}}}
    assert [templated(play["serial"], **given) for given in (none, some, own)] == [[1, 4], [1, 4], [1, 8]]
    assert [templated(play["hosts"], **given) for given in (none, some)] == ["all:!all", f"all:&{group}"]


HOSTS, NAMES, FILTER = "sglang_plan_hosts", "sglang_plan_network", "sglang_plan_firewall"


@pytest.mark.parametrize(
    ("variables", "key", "parents"),
    [
        ({}, "sglang_plan_engine", [HOSTS]),
        ({"network_prefix": "roce"}, f"sglang_plan_engine_{NAMES}", [HOSTS, "sglang_plan_engine", NAMES]),
        ({"network_prefix": "", "network_interfaces": []}, "sglang_plan_engine", [HOSTS]),
        ({"network_interfaces": [{"name": "a"}]}, f"sglang_plan_engine_{NAMES}", [HOSTS, "sglang_plan_engine", NAMES]),
        ({"network_firewall": "true"}, f"sglang_plan_engine_{FILTER}", [HOSTS, "sglang_plan_engine", FILTER]),
        ({"network_firewall_state": "absent"}, f"sglang_plan_engine_{FILTER}", [HOSTS, "sglang_plan_engine", FILTER]),
        ({"network_state": "absent"}, f"sglang_plan_engine_{NAMES}_{FILTER}", [HOSTS, "sglang_plan_engine", NAMES, FILTER]),
        ({"sglang_host": {"ranks": []}}, "sglang_plan_router", [HOSTS]),
        ({"sglang_host": {"ranks": []}, "network_prefix": "roce"}, f"sglang_plan_router_{NAMES}", [HOSTS, "sglang_plan_router", NAMES]),
        ({"sglang_host": {}, "network_prefix": "roce"}, "sglang_plan_outside", []),
    ],
)
def test_hosts_that_ask_for_something_are_sorted_out(variables: dict[str, Any], key: str, parents: list[str]) -> None:
    play = plays("planned.yml")["Plan"]
    (task,) = [task for task in play["tasks"] if task["name"] == "Sort the host into the plan's groups"]
    given = {**play["vars"], "ansible_run_tags": ["all"], "sglang_host": slice_(), **variables}
    found = task["ansible.builtin.group_by"]
    assert [templated(found[name], **given) for name in ("key", "parents")] == [key, parents]


def test_the_plan_after_a_batch_knows_what_is_called_otherwise() -> None:
    (task,) = [task for task in plays("names.yml")["Network, host by host"]["tasks"] if task["name"] == "Plan again"]
    looked = {"rows": [{"before": "ens0", "after": "roce0"}]}
    hosts = {
        "p0": {"__network_looked": looked, "__network_kept": {"changed": True}},
        # Not its turn yet, failed, and nothing to be kept.
        "p1": {"__network_looked": looked},
        "p2": {"__network_looked": looked, "__network_kept": {"failed": True, "changed": False}},
        "p3": {"__network_looked": looked, "__network_kept": {"skipped": True, "changed": False}},
        # Kept, as whoever asked again has heard.
        "p4": {"__network_looked": looked, "__network_kept": LOST, "__network_kept_again": {"changed": False, "transaction": "t1"}},
        "p5": {"__network_looked": looked, "__network_kept": LOST, "__network_kept_again": LOST},
    }
    found = templated(task["railyard.sglang.plan"]["already_renamed"], groups={"sglang_network_change": list(hosts)}, hostvars=hosts)
    assert found == {"p0": looked["rows"], "p4": looked["rows"]}
