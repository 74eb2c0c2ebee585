# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stack_facts tells of drivers, CUDA and firmware, on trees of files and on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.stack import versions_view
from ansible_collections.railyard.sglang.plugins.module_utils.stack.machine import look
from ansible_collections.railyard.sglang.plugins.modules import stack_facts
from ansible_collections.railyard.sglang.tests.unit.support.modules import run
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

KEYS = {"stacks", "unplanned", "os", "kernel", "glibc", "bios", "nvidia", "amd", "cuda", "gpus", "nics"}


def hopper(root: Path) -> Host:
    """Return a host with one GPU, one NIC and two toolkits, the newer one without a compiler."""
    host = Host(root)
    function = host.gpu("10:01.0 11:00.0", 0)
    address = Path(function).name
    host.file(
        f"/proc/driver/nvidia/gpus/{address}/information",
        "Model: \t\t NVIDIA H100 80GB HBM3\nVideo BIOS: \t 96.00.89.00.01\nGPU Firmware: \t 580.65.06\n",
    )
    host.file("/proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build")
    host.nic("mlx5_0", "20:01.0 21:00.0", 0)
    host.file("/sys/class/infiniband/mlx5_0/fw_ver", "28.39.1002")
    host.file("/etc/os-release", 'ID="rhel"\nVERSION_ID="9.4"\nPRETTY_NAME="Red Hat Enterprise Linux 9.4 (Plow)"\n')
    host.file("/usr/lib64/libcuda.so.580.65.06", "")
    host.file("/usr/lib64/libcuda.so.1", "")
    host.file("/usr/local/cuda-12.9/bin/nvcc", "")
    versions = {"cuda": {"name": "CUDA SDK", "version": "12.9.1"}, "cuda_nvcc": {"name": "CUDA NVCC", "version": "12.9.86"}}
    host.file("/usr/local/cuda-12.9/version.json", json.dumps(versions))
    host.file("/usr/local/cuda-13.0/version.json", json.dumps({"cuda": {"version": "13.0.3"}}))
    host.link("/usr/local/cuda", "cuda-12.9")
    return host


def test_a_gpu_host(tmp_path: Path) -> None:
    hopper(tmp_path)
    found = look(Root(str(tmp_path)), lambda: (2, 36))
    assert found["os"] == {"id": "rhel", "version": "9.4", "name": "Red Hat Enterprise Linux 9.4 (Plow)"}
    assert found["glibc"] is None, "the controller's would be another machine's"
    assert found["nvidia"] == {"driver": "580.65.06", "kind": "open", "libraries": ["580.65.06"]}
    assert found["cuda"] == [
        {"path": "/usr/local/cuda-12.9", "version": "12.9.1", "nvcc": "12.9.86"},
        {"path": "/usr/local/cuda-13.0", "version": "13.0.3", "nvcc": ""},
    ]
    assert found["gpus"] == [{"index": 0, "model": "NVIDIA H100 80GB HBM3", "firmware": "580.65.06", "bios": "96.00.89.00.01"}]
    assert [(row["name"], row["firmware"]) for row in found["nics"]] == [("mlx5_0", "28.39.1002")]
    assert versions_view.alike(["a", None, "b", "a"]) == "2 x a, b"


def test_a_half_updated_driver_and_a_damaged_version_file(tmp_path: Path) -> None:
    host = hopper(tmp_path)
    host.file("/usr/lib/x86_64-linux-gnu/libcuda.so.570.86.15", "")
    host.file("/usr/local/cuda-13.0/version.json", "{")
    found = look(Root(str(tmp_path)), lambda: (0, 0))
    assert found["nvidia"]["libraries"] == ["570.86.15", "580.65.06"]
    assert found["cuda"][1] == {"path": "/usr/local/cuda-13.0", "version": None, "nvcc": ""}


def test_module_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    result = run(stack_facts.main, {"names": ["absent", "foreign"], "path": str(tmp_path)}, True)
    facts = result["ansible_facts"]["sglang_versions"]
    assert not result["changed"]
    assert set(facts) == KEYS
    assert facts["kernel"] == os.uname().release
    assert {name: row["state"] for name, row in facts["stacks"].items()} == {"absent": "absent", "foreign": "foreign"}


def test_module_on_a_tree(tmp_path: Path) -> None:
    hopper(tmp_path / "tree")
    facts = run(stack_facts.main, {"names": [], "root": str(tmp_path / "tree")})["ansible_facts"]["sglang_versions"]
    assert (facts["os"]["id"], facts["nvidia"]["driver"]) == ("rhel", "580.65.06")
    result = run(stack_facts.main, {"names": [], "root": str(tmp_path / "none")})
    assert result["failed"]
    assert "there is no directory" in result["msg"]
