# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional, Sequence

import ansible_collections
import pytest

from ansible_collections.railyard.sglang.plugins.inventory.lab import SSH, lab_variables
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record

OPTIONS: dict[str, Any] = {
    "backend": "nspawn",
    "distribution": "debian",
    "router": None,
    "machine_memory_mb": 768,
    "shape": "2p2d",
    "nodes_per_instance": None,
    "name": "lab",
    "management_network": "auto",
    "fabric_network": "auto",
}


def machine_with(*routes: str) -> Any:
    def runner(argv: Sequence[str], stdin: Optional[str]) -> Completed:
        return Completed(0, json.dumps([{"dst": route} for route in routes]) if "route" in argv else "[]", "")

    return runner


def unused(argv: Sequence[str], stdin: Optional[str]) -> Completed:
    raise AssertionError(f"a lab that is up needs no {argv}")


def variables(tmp_path: Path, runner: Any = None, **options: Any) -> dict[str, Any]:
    merged = {**OPTIONS, "cache_directory": str(tmp_path / "cache"), **options}
    return lab_variables(merged, runner or machine_with(), tmp_path / "register")


def record_lab(tmp_path: Path, **change: Any) -> Paths:
    paths = Paths(tmp_path / "cache", "lab", tmp_path / "register")
    values: dict[str, Any] = {
        "name": "lab",
        "instance": "0a1b2c3d",
        "boot_id": "b",
        "image": "i",
        "owner": 0,
        "management_network": "198.18.4.0/24",
        "fabric_network": "198.18.5.0/24",
        "hosts": (HostRecord("p0", "prefill", "198.18.4.10", "198.18.5.10"),),
        **change,
    }
    paths.state.mkdir(parents=True)
    paths.record.write_text(Record(**values).to_json())
    return paths


def test_default_lab(tmp_path: Path) -> None:
    found = variables(tmp_path)
    groups = {name: group for name, (group, _variables) in found["hosts"].items()}
    assert groups == {"p0": "prefill", "p1": "prefill", "d0": "decode", "d1": "decode", "r0": "router"}
    shared = found["all"]
    assert shared["lab_nodes_per_instance"] == 2
    assert shared["lab_management_network"] == "198.51.100.0/24"
    assert shared["sglang_fabric_network"] == shared["lab_fabric_network"] == "203.0.113.0/24"
    assert shared["lab_owner"] == os.getuid()
    host = found["hosts"]["d1"][1]
    assert (host["ansible_host"], host["sglang_fabric_address"]) == ("198.51.100.111", "203.0.113.111")
    assert host["ansible_ssh_common_args"] == f"-F {tmp_path}/cache/lab/lab/ssh_config"
    assert "ansible_control_path_dir" not in host


def test_wrapper_is_there_and_executable() -> None:
    assert os.access(SSH, os.X_OK)


def test_path_with_spaces_is_quoted(tmp_path: Path) -> None:
    found = variables(tmp_path, cache_directory="/my cache")
    assert found["hosts"]["p0"][1]["ansible_ssh_common_args"] == "-F '/my cache/lab/lab/ssh_config'"


def test_routes_of_this_machine_are_avoided(tmp_path: Path) -> None:
    found = variables(tmp_path, machine_with("198.51.100.0/24"))
    assert found["all"]["lab_management_network"] == "203.0.113.0/24"


def test_running_lab_keeps_its_networks(tmp_path: Path) -> None:
    paths = record_lab(tmp_path)
    paths.control.mkdir(parents=True)
    found = variables(tmp_path, unused)
    assert found["all"]["lab_fabric_network"] == "198.18.5.0/24"
    assert found["hosts"]["p1"][1]["ansible_host"] == "198.18.4.11"
    assert found["hosts"]["p1"][1]["ansible_control_path_dir"] == str(paths.control)


def test_operators_network_wins_over_the_recorded_one(tmp_path: Path) -> None:
    record_lab(tmp_path)
    found = variables(tmp_path, unused, fabric_network="192.0.2.0/24")
    assert (found["all"]["lab_management_network"], found["all"]["lab_fabric_network"]) == (
        "198.18.4.0/24",
        "192.0.2.0/24",
    )


def test_damaged_record_does_not_keep_the_lab_from_being_removed(tmp_path: Path) -> None:
    record_lab(tmp_path).record.write_text("{")
    assert variables(tmp_path)["all"]["lab_management_network"] == "198.51.100.0/24"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shape": "2x2"}, "shape is '2x2'"),
        ({"shape": "2p1d", "nodes_per_instance": 2}, "nodes_per_instance is 2"),
        ({"name": "My Lab"}, "name is 'My Lab'"),
        ({"fabric_network": "somewhere"}, "fabric_network is 'somewhere'"),
        (
            {"management_network": "198.51.100.0/24"},
            "management_network 198.51.100.0/24 clashes with this machine's route",
        ),
    ],
)
def test_wrong_option_is_named(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(LabError) as raised:
        variables(tmp_path, machine_with("198.51.100.0/24"), **options)
    assert text in str(raised.value)


def ansible_inventory(path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have Ansible itself load the plugin and read the file."""
    command = [sys.executable, "-m", "ansible", "inventory", "-i", str(path), "--list"]
    (path.parent / "ansible.cfg").touch()
    variables = {
        # ansible-test has settings of its own, and half an ansible on PYTHONPATH.
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("ANSIBLE_")},
        "RAILYARD_CACHE": str(path.parent),
        "ANSIBLE_CONFIG": str(path.parent / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(Path(next(iter(ansible_collections.__path__))).parent),
        **environment,
    }
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


def test_file_and_environment_through_ansible(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    networks = "management_network: 198.18.200.0/24\nfabric_network: 198.18.201.0/24\n"
    path.write_text(f"plugin: railyard.sglang.lab\nshape: 3p1d\n{networks}")
    done = ansible_inventory(path, RAILYARD_LAB_NAME="unittest")
    assert done.returncode == 0, done.stderr
    inventory = json.loads(done.stdout)
    assert inventory["prefill"]["hosts"] == ["p0", "p1", "p2"]
    # Ansible marks what plugins return as not to be taken for a template.
    marked = inventory["_meta"]["hostvars"]["r0"]
    variables = {key: value["__ansible_unsafe"] if isinstance(value, dict) else value for key, value in marked.items()}
    assert (variables["lab_name"], variables["lab_nodes_per_instance"]) == ("unittest", 1)
    assert variables["ansible_host"] == "198.18.200.210"


def test_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    path.write_text("plugin: railyard.sglang.lab\nshape: many\n")
    done = ansible_inventory(path, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true")
    assert done.returncode != 0
    assert f"{path}: shape is 'many'" in " ".join(done.stderr.split())


def test_virtual_machines(tmp_path: Path) -> None:
    found = variables(tmp_path, backend="qemu", shape="1p1d", machine_memory_mb=900)
    shared = found["all"]
    assert shared["lab_backend"] == "qemu"
    assert (shared["lab_management_network"], shared["lab_fabric_network"]) == ("198.51.100.0/24", "198.18.0.0/21")
    assert {name: group for name, (group, _variables) in found["hosts"].items()} == {"p0": "prefill", "d0": "decode"}
    assert [host["memory_mb"] for host in shared["lab_hosts"]] == [900, 900]
    host = found["hosts"]["d0"][1]
    assert host["sglang_fabric_address"] == host["lab_rails"][0]["address"] == "198.18.0.110"
    assert host["sglang_fabric_interface"] == host["lab_rails"][0]["interface"] == "enp27s0"
    assert [rail["device"] for rail in host["lab_rails"]] == [f"mlx5_{number}" for number in range(8)]
    assert host["lab_rails"][7] == {
        "rail": 7,
        "interface": "enp219s0",
        "device": "mlx5_7",
        "address": "198.18.7.110",
        "mac": "02:00:c6:12:07:6e",
        "pci": "0000:db:00.0",
        "numa_node": 1,
    }


@pytest.mark.parametrize(("backend", "router", "there"), [("qemu", True, True), ("nspawn", False, False), ("nspawn", None, True)])
def test_router_is_an_option(backend: str, router: Optional[bool], there: bool, tmp_path: Path) -> None:
    found = variables(tmp_path, backend=backend, router=router)
    assert ("r0" in found["hosts"]) == there
    assert ("lab_rails" in found["hosts"]["p0"][1]) == (backend == "qemu")


def test_fabric_too_small_for_rails_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="8 rails of a /24 each"):
        variables(tmp_path, backend="qemu", fabric_network="203.0.113.0/24")
