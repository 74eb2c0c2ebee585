# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What compiles and exchanges on NVIDIA GPUs: the CUDA toolkit of the engine, and DeepEP.

The stages deepep and deepgemm read it; what a process has to know of it is in its environment and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.stacks import EngineStack

ARGUMENT = "moe_a2a_backend"
BACKEND = "deepep"
SOURCE = "source"
# The environment of the stack, which somebody else has made, has DeepEP by itself.
OWN = "own"
HOME = "CUDA_HOME"
HANDLER = "NVSHMEM_IBGDA_NIC_HANDLER"
AUTO = "auto"


def exchanged(stack: EngineStack, arguments: Mapping[str, Any]) -> bool:
    """Return whether a rank exchanges its experts by DeepEP on NVIDIA GPUs.

    :param arguments: its values by dest.
    """
    return stack.device == "cuda" and arguments.get(ARGUMENT) == BACKEND


def cuda_home(cluster: Cluster, host: str, stack: EngineStack) -> tuple[str, str] | None:
    """Return the toolkit that the engine is told to use, with the reason; None where libraries look for one by themselves."""
    written, way = cluster.hosts[host]["sglang_cuda_home"], cluster.variables["sglang_cuda_install"]
    if not stack.cuda:
        return None
    if written:
        return written, "sglang_cuda_home"
    places = {"packages": f"/usr/local/cuda-{stack.cuda}", "archives": f"{cluster.variables['sglang_root']}/cuda-{stack.cuda}"}
    return (places[way], f"sglang_cuda_install is {way}: the role cuda installs CUDA {stack.cuda} there") if way in places else None


def way(cluster: Cluster, stack: EngineStack) -> str:
    """Return how DeepEP gets to the stack: source, wheel, own; empty where it does not."""
    return OWN if stack.deepep and cluster.variables["sglang_deepep_own"] else stack.deepep


def path(cluster: Cluster, stack: EngineStack) -> str:
    """Return the link to what the stage deepep has built; empty where it builds nothing."""
    built = way(cluster, stack) == SOURCE or (stack.deepep and cluster.variables["sglang_deepep_gdrcopy"])
    return f"{cluster.variables['sglang_root']}/deepep/{stack.name}" if built else ""


def environment(cluster: Cluster, host: str, stack: EngineStack, deepep: bool) -> dict[str, tuple[str, str]]:
    """Return the variables of a rank, each with its reason.

    :param deepep: whether it exchanges its experts by DeepEP.
    """
    found = {}
    home = cuda_home(cluster, host, stack)
    if home:
        found[HOME] = (home[0], f"nvcc for kernels that are compiled at run time; {home[1]}")
    if deepep and way(cluster, stack) == SOURCE:
        found["PYTHONPATH"] = (path(cluster, stack), "DeepEP, which the stage deepep builds for this stack")
    if deepep and stack.deepep and cluster.variables["sglang_deepep_gdrcopy"]:
        found["LD_LIBRARY_PATH"] = (f"{path(cluster, stack)}/lib", "libgdrapi, which NVSHMEM opens by its name")
    return found


def homes(environments: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the toolkits that ranks of one host are told to use, each once; an empty text is that of who is told none."""
    return sorted({row.get(HOME, "") for row in environments})


def cuda_part(cluster: Cluster, host: str, stack: EngineStack, ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the role cuda reads; None for a stack without NVIDIA GPUs.

    Keys: stack, version, home (empty: where programs look by themselves), install. The home is what the ranks are told, be it derived or
    an operator's CUDA_HOME: what is checked and built with is what is used. Rule stack.cuda-home refuses ranks of one host that differ.

    :param ranks: those of the host, as the plan has them.
    """
    if not stack.cuda:
        return None
    derived = cuda_home(cluster, host, stack)
    home = (homes(row["environment"] for row in ranks) or [""])[-1]
    installs = derived is not None and derived[0] == home and not cluster.hosts[host]["sglang_cuda_home"]
    return {
        "stack": stack.name, "version": stack.cuda, "home": home,
        "install": cluster.variables["sglang_cuda_install"] if installs else "no",
    }


def deepep_part(cluster: Cluster, stack: EngineStack, ranks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what the role deepep reads; None where no rank of the host uses it.

    Keys: stack, way, path, python, gdrcopy, nodes (hosts of the largest instance), handlers (who rings the doorbells of NICs, of the
    ranks whose instance spans hosts).

    :param ranks: those of the host, as the plan has them.
    """
    using = [row for row in ranks if row["deepep"]]
    if not using or not stack.deepep:
        return None
    return {
        "stack": stack.name,
        "way": way(cluster, stack),
        "path": path(cluster, stack),
        "python": using[0]["python"],
        "gdrcopy": cluster.variables["sglang_deepep_gdrcopy"],
        "nodes": max(row["nodes"] for row in using),
        "handlers": sorted({row["environment"].get(HANDLER, AUTO) for row in using if row["nodes"] > 1}),
    }
