# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stacks work on which hosts: hosts described as trees of files, every stack of the collection, and what refusals say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.stack.decide import PROVEN, RULES, decide, reasons, text, working
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import read_needs
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.gate import Gate, refused, wrong_waivers
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import HostFacts
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import parse_needs
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import parse_table
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import FILES
from ansible_collections.railyard.sglang.tests.unit.support.described import Described

NEEDS = {path.parent.name: parse_needs(read_needs(path.parent, yaml.safe_load)) for path in sorted(FILES.glob("*/stack.yml"))}
TABLE = parse_table(yaml.safe_load((FILES / "os_packages.yml").read_text(encoding="utf-8")))
CU12, EL9, CU13, NEW = "sglang-0.5.8-cu12", "sglang-0.5.8-cu12-el9", "sglang-0.5.8-cu13", "sglang-0.5.23-cu13"
CPU, NEW_CPU = "sglang-0.5.8-cpu", "sglang-0.5.23-cpu"
ROCM = ("sglang-0.5.8-rocm", "sglang-0.5.23-rocm")
ASCEND = ("sglang-0.5.8-ascend", "sglang-0.5.23-ascend")
# The newest one is the default.
BOTH = "12.9 13.0"
# Host, the stacks for GPUs that work on it, and of one that does not: name, rule, words of the reason.
CASES: dict[str, tuple[Described, tuple[str, ...], tuple[str, str, str] | None]] = {
    "jammy-h100": (
        Described("ubuntu-22.04", ("H100",) * 8, "570.124.06", "12.9"),
        (CU12, EL9),
        (NEW, "stack.gpu-driver", "CUDA up to 12.8"),
    ),
    "noble-h100": (
        Described("ubuntu-24.04", ("H100",), "570.124.06", "12.9"),
        (CU12, EL9),
        (CU13, "stack.nvcc", "13.0 or newer and below 14"),
    ),
    "bookworm-h100": (
        Described("debian-12", ("H100",), "550.54.15", "12.4"),
        (CU12, EL9),
        (CU13, "stack.gpu-driver", "needs 580 or newer"),
    ),
    "el9-h100": (
        Described("rhel-9", ("H100",) * 8, "570.124.06", "12.9"),
        (EL9,),
        (CU12, "stack.library", "libstdc++.so.6 of RHEL 9.4 ends at GLIBCXX_3.4.29; mooncake 0.3.8.post1 needs GLIBCXX_3.4.30"),
    ),
    "el8-h100": (
        Described("rhel-8", ("H100",), "570.124.06", "12.9"),
        (EL9,),
        (CU12, "stack.library", "ends at GLIBC_2.28; mooncake 0.3.8.post1 needs"),
    ),
    "el8-h100-580": (
        Described("rhel-8", ("H100",), "580.65.06", "13.0"),
        (CU13,),
        (NEW, "stack.library", "RHEL 8.10 ends at GLIBC_2.28; sglang 0.5.23 (manylinux_2_34) needs GLIBC_2.34"),
    ),
    "el8-h100-580-cu12": (Described("rhel-8", ("H100",), "580.65.06", "13.0 12.9"), (EL9,), (NEW, "stack.library", "GLIBC_2.34")),
    "el9-h200-580": (
        Described("rhel-9", ("H200",) * 8, "580.65.06", "13.0"),
        (CU13, NEW),
        (EL9, "stack.nvcc", "/usr/local/cuda-13.0 has nvcc 13.0.88"),
    ),
    "el9-h20": (Described("rhel-9", ("H20",), "580.65.06", "13.0"), (CU13, NEW), (CU12, "stack.library", "GLIBCXX_3.4.30")),
    "el9-both-toolkits": (
        Described("rhel-9", ("H100",), "580.65.06", BOTH),
        (CU13, NEW),
        (EL9, "stack.nvcc", "has nvcc 13.0.88; DeepGEMM and FlashInfer"),
    ),
    "el9-older-toolkit-is-the-default": (
        Described("rhel-9", ("H100",), "580.65.06", "13.0 12.9"),
        (EL9,),
        (NEW, "stack.nvcc", "Fix: set sglang_cuda_home to /usr/local/cuda-13.0, which the engine does not find by itself"),
    ),
    "el9-newer-driver": (Described("rhel-9", ("H100",), "590.44.01", BOTH), (CU13, NEW), (CU12, "stack.library", "GLIBCXX_3.4.30")),
    "el9-no-libmlx5": (Described("rhel-9", ("H100",), "580.65.06", "13.0", mlx5=False), (CU13, NEW), None),
    "rocky9-l40s": (Described("rocky-9", ("L40S",) * 4, "555.42.06", "12.5"), (EL9,), (CU12, "stack.library", "of Rocky 9.6 ends at")),
    "el10-h100": (Described("rhel-10", ("H100",), "580.65.06", BOTH), (CU13, NEW), (CU12, "stack.nvcc", "below 13")),
    "el10-h100-570": (Described("rhel-10", ("H100",), "570.124.06", "12.9"), (CU12, EL9), (NEW, "stack.gpu-driver", "is 570.124.06")),
    "jammy-h100-580": (Described("ubuntu-22.04", ("H100",), "580.65.06", "13.0"), (CU13, NEW), (CU12, "stack.nvcc", "below 13")),
    "noble-b200": (Described("ubuntu-24.04", ("B200",) * 8, "580.65.06", "13.0"), (CU13, NEW), (CU12, "stack.nvcc", "12.9 or newer")),
    "noble-b200-570": (Described("ubuntu-24.04", ("B200",) * 8, "570.124.06", "12.9"), (CU12, EL9), (NEW, "stack.gpu-driver", "580")),
    "noble-b200-old-nvcc": (
        Described("ubuntu-24.04", ("B200",), "570.124.06", "12.8"),
        (),
        (CU12, "stack.nvcc", "nvcc 12.9 or newer and below 13"),
    ),
    "jammy-b200-old-driver": (
        Described("ubuntu-22.04", ("B200",), "565.57.01", "12.9"),
        (),
        (EL9, "stack.gpu-driver", "architecture 10.0 (Blackwell) needs 570.26"),
    ),
    "noble-b300": (
        Described("ubuntu-24.04", ("B300",) * 8, "580.65.06", BOTH),
        (CU13, NEW),
        (CU12, "stack.gpu-architecture", "is 10.3 (Blackwell Ultra); sgl-kernel 0.3.21 has kernels for 8.0, 8.6, 8.9, 9.0, 10.0, 12.0"),
    ),
    "noble-rtx-pro": (Described("ubuntu-24.04", ("RTX PRO 6000",), "570.124.06", "12.8"), (CU12, EL9), None),
    "noble-rtx-pro-old-nvcc": (
        Described("ubuntu-24.04", ("RTX PRO 6000",), "570.124.06", "12.6"),
        (),
        (CU12, "stack.nvcc", "nvcc 12.8 or newer"),
    ),
    "jammy-a100": (Described("ubuntu-22.04", ("A100",) * 8, "535.183.01", "12.3"), (CU12, EL9), (CU13, "stack.gpu-driver", "up to 12.2")),
    "jammy-a100-old": (
        Described("ubuntu-22.04", ("A100",), "470.256.02", "12.3"),
        (),
        (CU12, "stack.gpu-driver", "NVIDIA's driver is 470.256.02; CUDA 12 needs 525.60.13 or newer"),
    ),
    "jammy-a100-525": (Described("ubuntu-22.04", ("A100",), "525.60.13", "12.3"), (CU12, EL9), None),
    "bookworm-a40": (Described("debian-12", ("A40",), "550.54.15", "12.4"), (CU12, EL9), None),
    "jammy-v100": (Described("ubuntu-22.04", ("V100",) * 8, "535.183.01", "12.3"), (), (CU12, "stack.gpu-architecture", "is 7.0 (Volta)")),
    "jammy-t4": (Described("ubuntu-22.04", ("T4",), "580.65.06", BOTH), (), (NEW, "stack.gpu-architecture", "is 7.5 (Turing)")),
    "jammy-no-driver": (Described("ubuntu-22.04", ("H100",), "", "12.9"), (), (CU12, "stack.gpu-driver", "NVIDIA's driver is not loaded")),
    "jammy-no-nvcc": (
        Described("ubuntu-22.04", ("H100",), "570.124.06"),
        (),
        (CU12, "stack.nvcc", "no nvcc in /usr/local/bin, /usr/bin and /usr/local/cuda"),
    ),
    "jammy-nvcc-11": (Described("ubuntu-22.04", ("H100",), "570.124.06", "11.8"), (), (CU12, "stack.nvcc", "has nvcc 11.8.88")),
    "jammy-nvcc-silent": (Described("ubuntu-22.04", ("H100",), "570.124.06", "?"), (CU12, EL9), None),
    "jammy-mixed": (Described("ubuntu-22.04", ("H100", "A100"), "580.65.06", BOTH), (CU13, NEW), None),
    "jammy-mixed-old": (
        Described("ubuntu-22.04", ("H100", "V100"), "580.65.06", BOTH),
        (),
        (CU12, "stack.gpu-architecture", "7.0 (Volta)"),
    ),
    "noble-unknown-gpu": (Described("ubuntu-24.04", ("unknown",), "580.65.06", BOTH), (CU13, NEW), None),
    "trixie-h100": (
        Described("debian-13", ("H100",), "580.65.06", BOTH),
        (CU13,),
        (NEW, "stack.python", "Python 3.13 in /usr/bin and /usr/local/bin; it is locked for Python 3.12 or 3.11"),
    ),
    "trixie-python-3.12": (Described("debian-13", ("H100",), "580.65.06", BOTH, pythons=("3.12",)), (CU13, NEW), None),
    "focal-h100": (
        Described("ubuntu-20.04", ("H100",), "580.65.06", BOTH, pythons=("3.11",)),
        (),
        (CU13, "stack.library", "ends at IBVERBS_1.8"),
    ),
    "focal-python": (Described("ubuntu-20.04", ("H100",), "580.65.06", BOTH), (), (NEW, "stack.python", "has no package known here")),
    "sles-h100": (Described("sles-15", ("H100",), "580.65.06", BOTH), (CU13, NEW), None),
    "mi300x": (Described("ubuntu-22.04", ("MI300X",) * 8), ROCM, (CU12, "stack.gpu", "the GPUs here are AMD's; it runs on NVIDIA GPUs")),
    "mi355x": (Described("ubuntu-24.04", ("MI355X",) * 8), ROCM, (ASCEND[0], "stack.gpu", "AMD's")),
    "mi210": (Described("ubuntu-22.04", ("MI210",)), (), (ROCM[0], "stack.gpu-architecture", "is gfx90a")),
    "mi300x-no-driver": (Described("rhel-9", ("MI300X",), amdgpu=False), (), (ROCM[1], "stack.gpu-driver", "amdgpu is not loaded")),
    "ascend": (Described("ubuntu-22.04", ("Ascend",) * 8), ASCEND, (NEW, "stack.gpu", "Ascend's")),
    "bookworm-bare": (Described("debian-12"), (), (CU12, "stack.gpu", "no GPU on its PCI buses")),
    "el9-bare": (Described("rhel-9"), (), (NEW, "stack.gpu", "no GPU")),
}


def look(described: Described, tmp_path: Path, library_path: tuple[str, ...] = (), cuda_home: str = "") -> HostFacts:
    host = described.write(tmp_path)
    gate = Gate(list(NEEDS.values()), TABLE, library_path=library_path, cuda_home=cuda_home)
    return replace(gate.facts([], Root(str(host.root))), machine="x86_64")


def takes(name: str, facts: HostFacts) -> bool:
    """Say whether a host can run a stack, whoever installs it."""
    without = {"stack.obtain"} if NEEDS[name].vendor in ("", "nvidia") else PROVEN
    return not reasons(NEEDS[name], facts, TABLE, without)


def test_there_are_enough_hosts() -> None:
    assert len(CASES) >= 40
    assert {rule for _host, _works, no in CASES.values() if no for rule in [no[1]]} == RULES - {"stack.obtain", "stack.machine"}


@pytest.mark.parametrize("name", CASES)
def test_stacks_of_a_host(name: str, tmp_path: Path) -> None:
    described, works, no = CASES[name]
    facts = look(described, tmp_path)
    assert tuple(sorted(stack for stack, needs in NEEDS.items() if needs.vendor and takes(stack, facts))) == tuple(sorted(works))
    if no:
        stack, rule, words = no
        lines = [refusal.line() for refusal in reasons(NEEDS[stack], facts, TABLE) if refusal.rule == rule]
        assert any(words in line for line in lines), lines
        assert all(". Fix: " in line for line in lines)


@pytest.mark.parametrize(
    ("system", "works"),
    [
        ("rhel-8", {CPU}),
        ("rhel-9", {CPU, NEW_CPU}),
        ("debian-12", {CPU, NEW_CPU}),
        ("ubuntu-22.04", {CPU, NEW_CPU}),
        ("ubuntu-20.04", set()),
    ],
)
def test_cpu_stacks(system: str, works: set[str], tmp_path: Path) -> None:
    facts = look(Described(system), tmp_path)
    assert {name for name in (CPU, NEW_CPU) if takes(name, facts)} == works


def test_a_newer_libstdcxx_of_the_unit_counts(tmp_path: Path) -> None:
    described = Described("rhel-9", ("H100",), "570.124.06", "12.9", libstdcxx=32)
    facts = look(described, tmp_path, library_path=("/opt/gcc/lib64",))
    assert facts.libraries["libstdc++.so.6"].path == "/opt/gcc/lib64/libstdc++.so.6"
    assert takes(CU12, facts)
    configured = described.write(tmp_path / "configured")
    configured.file("/etc/ld.so.conf.d/gcc.conf", "# newer\n/opt/gcc/lib64\n")
    assert takes(CU12, look(described, tmp_path / "configured"))


def test_the_named_toolkit_alone_counts(tmp_path: Path) -> None:
    described = Described("ubuntu-22.04", ("H100",), "580.65.06", BOTH)
    facts = look(described, tmp_path, cuda_home="/usr/local/cuda-13.0")
    assert [compiler.path for compiler in facts.compilers] == ["/usr/local/cuda-13.0"]
    assert not takes(CU12, facts)
    older = look(described, tmp_path, cuda_home="/usr/local/cuda-12.9")
    assert (takes(CU12, older), takes(NEW, older)) == (True, False)
    nowhere = look(described, tmp_path, cuda_home="/opt/none")
    assert any("no nvcc in /opt/none" in refusal.line() for refusal in reasons(NEEDS[NEW], nowhere, TABLE))
    host = Described("ubuntu-22.04", ("H100",), "570.124.06").write(tmp_path / "debian")
    host.file("/usr/bin/nvcc", "")
    assert takes(CU12, look(Described("ubuntu-22.04", ("H100",), "570.124.06"), tmp_path / "debian"))


@pytest.mark.parametrize(
    ("path", "default", "found"),
    [
        ("", "", []),
        ("", "/usr/local/cuda-12.9", [("/usr/local/cuda-12.9", "12.9.88")]),
        ("/usr/local/cuda-13.0/bin/nvcc", "/usr/local/cuda-12.9", [("/usr/local/cuda-13.0", "13.0.88")]),
        ("/usr/local/cuda-13.0/bin/nvcc", "", [("/usr/local/cuda-13.0", "13.0.88")]),
        ("a program", "/usr/local/cuda-12.9", [("/usr", None)]),
    ],
)
def test_the_default_toolkit(path: str, default: str, found: list[tuple[str, str | None]], tmp_path: Path) -> None:
    described = Described("ubuntu-22.04", ("H100",), "580.65.06", BOTH)
    host = described.write(tmp_path)
    host.remove("/usr/local/cuda")
    if default:
        host.link("/usr/local/cuda", default)
    if path.startswith("/"):
        host.link("/usr/bin/nvcc", path)
    elif path:
        host.file("/usr/bin/nvcc", "")
    facts = Gate().facts([], Root(str(host.root)))
    assert [(compiler.path, compiler.version) for compiler in facts.compilers] == found
    assert len(facts.others) + len([1 for compiler, _version in found if compiler != "/usr"]) == 2


def test_a_toolkit_without_a_version_file_is_known_by_its_directory(tmp_path: Path) -> None:
    described = Described("ubuntu-22.04", ("H100",), "580.65.06")
    host = described.write(tmp_path)
    host.file("/usr/local/cuda-13.0/bin/nvcc", "")
    host.link("/usr/local/cuda", "/usr/local/cuda-13.0")
    facts = look(described, tmp_path)
    assert [(compiler.path, compiler.version) for compiler in facts.compilers] == [("/usr/local/cuda-13.0", "13.0")]
    assert (takes(NEW, facts), takes(CU12, facts)) == (True, False)


def test_another_machine(tmp_path: Path) -> None:
    facts = replace(look(Described("ubuntu-22.04", ("H100",), "580.65.06", BOTH), tmp_path), machine="aarch64")
    (refusal,) = reasons(NEEDS[NEW], facts, TABLE, {"stack.obtain"})
    assert (refusal.rule, refusal.found) == ("stack.machine", "this host is aarch64")


def test_every_reason_is_told_with_what_works_instead(tmp_path: Path) -> None:
    locked = {name: replace(needs, locked=not needs.obtain) for name, needs in NEEDS.items()}
    facts = look(Described("rhel-8", ("H100",), "570.124.06"), tmp_path)
    found = decide(locked[NEW], facts, TABLE, list(locked.values()))
    assert [refusal.rule for refusal in found] == ["stack.library", "stack.gpu-driver", "stack.nvcc"]
    assert {refusal.instead for refusal in found} == {()}
    assert found[0].line().endswith("No stack that this collection knows works here.")
    with_nvcc = look(Described("rhel-9", ("H100",), "570.124.06", "12.9"), tmp_path / "other")
    (only,) = decide(locked[CU12], with_nvcc, TABLE, list(locked.values()))
    assert only.instead == (EL9,)
    lines = text("d0", {CU12: [only]}).splitlines()
    assert lines[0] == "d0 cannot run what it is to run; nothing was downloaded and nothing was changed:"
    assert lines[1].startswith(f"- d0: stack {CU12}: stack.library: /usr/lib64/libstdc++.so.6 of RHEL 9.4 ends at GLIBCXX_3.4.29; ")
    assert lines[1].endswith(f"Works here: {EL9}.")


def test_what_cannot_be_installed_is_said_so(tmp_path: Path) -> None:
    facts = look(Described("ubuntu-22.04", ("MI300X",) * 8), tmp_path)
    refusals = decide(NEEDS[ROCM[0]], facts, TABLE, list(NEEDS.values()), {"stack.python"})
    (refusal,) = refusals
    assert refusal.rule == "stack.obtain"
    assert "official image" in refusal.fix
    assert "stack_external" in refusal.fix
    assert working(NEEDS[ROCM[0]], NEEDS.values(), facts, TABLE) == (f"{ROCM[1]} (by stack_external)",)


def test_a_host_without_such_gpus_is_told_what_fits_it(tmp_path: Path) -> None:
    known = list(NEEDS.values())
    bare = look(Described("debian-12"), tmp_path / "bare")
    assert [refusal.instead for refusal in decide(NEEDS[CU12], bare, TABLE, known)] == [(CPU, NEW_CPU)]
    amd = look(Described("rhel-10", ("MI300X",)), tmp_path / "amd")
    (refusal,) = decide(NEEDS[CU12], amd, TABLE, known)
    assert set(refusal.instead) >= {f"{name} (by stack_external)" for name in ROCM}


def test_waivers_external_environments_and_builders(tmp_path: Path) -> None:
    needs = replace(NEEDS[CU12], locked=True)
    facts = look(Described("rhel-9", ("H100",), "470.256.02"), tmp_path)
    assert [refusal.rule for refusal in refused([needs], Gate(), facts, {CU12}, ())[CU12]] == [
        "stack.python",
        "stack.library",
        "stack.gpu-driver",
        "stack.nvcc",
    ]
    gate = Gate(table=TABLE)
    assert {refusal.rule for refusal in refused([needs], gate, facts, (), ())[CU12]} == {"stack.library"}
    assert {refusal.rule for refusal in refused([needs], gate, facts, {CU12}, {CU12})[CU12]} == {"stack.gpu-driver", "stack.nvcc"}
    waived = replace(gate, waived=dict.fromkeys(RULES, "measured"))
    assert refused([needs], waived, facts, {CU12}, ()) == {}
    wrong_waivers(waived.waived)
    with pytest.raises(StackError, match=r"stack_waive: stack.weather is no rule\. Fix: use one of stack.gpu, "):
        wrong_waivers({"stack.weather": "rain"})
    with pytest.raises(StackError, match=r"stack.nvcc has no reason"):
        wrong_waivers({"stack.nvcc": " "})


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"colour": 1}, "host is not a mapping of driver, gpus, nvcc, symbols"),
        ({"symbols": [{"library": "libc.so.6", "version": "2.34", "of": "x"}]}, "is not a version like GLIBCXX"),
        ({"symbols": [{"library": "libc.so.6"}]}, "is not a mapping of library, of, version"),
        ({"gpus": {"vendor": "intel", "of": "x", "architectures": {"9.0": {}}}}, "gpus is not a mapping of vendor"),
        ({"gpus": {"vendor": "nvidia", "of": "x", "architectures": {}}}, "not a mapping of architectures"),
        ({"gpus": {"vendor": "nvidia", "of": "x", "architectures": {"9.0": {"nvcc": "new"}}}}, "'new' is not a version"),
        ({"driver": {"least": "580"}}, "driver .* is not a mapping of below, least, of"),
        ({"nvcc": {"least": "x", "of": "y"}}, "nvcc 'x' is not a version"),
    ],
)
def test_bad_needs_are_named(host: dict[str, object], words: str) -> None:
    with pytest.raises(StackError, match=words):
        parse_needs({"name": "mine", "host": host})
