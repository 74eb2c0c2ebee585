# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for what a build of DeepEP takes: a toolkit, a stack's environment, sources. They say nothing of CUDA or of DeepEP itself."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.deepep import build, kind, recipe, toolkit

HEADERS = tuple(names[0] for names in toolkit.HEADERS)
ARCHITECTURES = ("9.0",)
NVCC = """#!/bin/sh
# Stands for nvcc: says a version, and compiles by leaving an object.
case "$1" in --version) echo "Cuda compilation tools, release {short}, V{version}"; exit 0 ;; esac
while [ $# -gt 0 ]; do [ "$1" != -o ] || echo object > "$2"; shift; done
"""
# Stands for DeepEP's setup.py: what it leaves shows what it was called with.
SETUP = """
import os, pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("--build-lib") + 1])
(out / "deep_ep").mkdir(parents=True)
(out / "deep_ep" / "__init__.py").write_text("import deep_ep_cpp\\n")
text = pathlib.Path("csrc/configs.h").read_text()
assert "SECONDS 1000" in text, text
wait = pathlib.Path(os.environ["CUDA_HOME"], "wait")
if wait.exists():
    import time
    wait.with_name("waits").write_text("")
    time.sleep(600)
names = ("CUDA_HOME", "TORCH_CUDA_ARCH_LIST", "GIT_DIR", "SOURCE_DATE_EPOCH")
(out / "deep_ep_cpp.stand-in.so").write_text("")
(out / "deep_ep_cpp.py").write_text(repr({name: os.environ[name] for name in names if name != "CUDA_HOME"}) + "\\n")
"""


def pack(path: Path, files: dict[str, str], top: str = "top") -> str:
    """Write an archive with these files below one directory; return its sha256."""
    # Not compressed: the same files give the same bytes.
    with tarfile.open(path, "w") as stream:
        for name, text in files.items():
            row = tarfile.TarInfo(f"{top}/{name}")
            row.size, row.mode = len(text.encode()), 0o755 if text.startswith("#!") else 0o644
            stream.addfile(row, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def toolkit_files(version: str, headers: str = "") -> dict[str, str]:
    """Return the files of a toolkit of a version like 12.9.86."""
    short = ".".join(version.split(".")[:2])
    number = (headers or short).split(".")
    files = {f"include/{name}": "" for name in HEADERS}
    files["include/cuda.h"] = f"#define CUDA_VERSION {int(number[0]) * 1000 + int(number[1]) * 10}\n"
    return {"bin/nvcc": NVCC.replace("{short}", short).replace("{version}", version), **files}


def write(directory: Path, files: dict[str, str]) -> Path:
    """Write files below a directory and return it."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    return directory


def stack(directory: Path, torch: str = "2.9.1", nvshmem: str = "3.3.20") -> Path:
    """Make a stack's environment whose interpreter is this one, with metadata of packages that are not there; return the interpreter."""
    versions = {"torch": torch, "nvidia_nvshmem_cu12": nvshmem, "setuptools": "82.0.0", "ninja": "1.13.0"}
    files = {f"site/{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
             for name, version in versions.items()}
    files |= {f"site/nvidia/nvshmem/{names[-1]}": "" for names in build.NVSHMEM}
    files["site/nvidia/cublas/include/cublas_v2.h"] = ""
    site = directory / "site"
    files["bin/python"] = f'#!/bin/sh\nPYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}{site}" exec {sys.executable} "$@"\n'
    return write(directory, files) / "bin" / "python"


def sources(directory: Path) -> dict[str, Any]:
    """Write archives of sources into a directory and return the recipe for them."""
    directory.mkdir(parents=True, exist_ok=True)
    deepep = {"setup.py": SETUP, "csrc/configs.h": "#define SECONDS 100\n", "csrc/probe.cu": "__global__ void probe() {}\n"}
    make = "lib_install:\n\tmkdir -p $(prefix)/lib\n\t$(CC) -shared -fPIC -o $(prefix)/lib/libgdrapi.so.2.5 api.c\n"
    make += "\tln -sf libgdrapi.so.2.5 $(prefix)/lib/libgdrapi.so.2\n"
    gdrcopy = {"Makefile": make, "api.c": "int gdr_open(void) { return 0; }\n"}
    rows = {}
    for name, files in (("deepep.tar.gz", deepep), ("gdrcopy.tar.gz", gdrcopy)):
        row = {"name": name, "origin": f"https://archive.example/{name}", "sha256": pack(directory / name, files)}
        rows[name.partition(".")[0]] = row
    pairs = [{"before": "SECONDS 100\n", "after": "SECONDS 1000\n"}]
    return {
        "version": "1.2.1", "distribution": "deep-ep", "source": rows["deepep"], "probe": "csrc/probe.cu", "architectures": {"9.0": "12.3"},
        "patches": [{"path": "csrc/configs.h", "reason": "slow ranks", "replace": pairs}],
        "os": [], "gdrcopy": {"version": "2.5.1", "source": rows["gdrcopy"]},
    }


def job(base: Path, root: str = "root", **more: Any) -> build.Job:
    """Return a build of the stand-ins below a directory."""
    if not (base / "stack").exists():
        stack(base / "stack")
        write(base / "cuda", toolkit_files("12.9.86"))
    data = sources(base / "sources")
    python = str(base / "stack" / "bin" / "python")
    environment = kind.environment_of(python, "the test")
    own = kind.Kind(
        recipe=kind.recipe_id(data), gdrcopy=bool(more.pop("gdrcopy", False)), deepep=True, architectures=ARCHITECTURES, nvcc="12.9.86",
        torch=environment.torch, python=environment.abi, nvshmem=environment.nvshmem, nvshmem_home=environment.nvshmem_home,
        system="debian-12", glibc="2.36", machine="x86_64",
    )
    return build.Job(
        base / root, "sglang-x", own, recipe.parse_deepep(data), environment, python, str(base / "cuda"), sources=base / "sources", **more
    )
