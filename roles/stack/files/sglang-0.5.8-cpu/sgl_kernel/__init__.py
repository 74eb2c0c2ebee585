# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for sgl_kernel, whose wheels exist for CUDA only, on hosts without a GPU.

Every name and every submodule resolves, so that sglang imports; to call one of the kernels raises NotImplementedError.
sglang then takes its torch-native code. This is no engine for a GPU and proves nothing about one.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

# sglang asks for this one to find out whether the compiled package is there: it must not import.
ABSENT = frozenset({"sgl_kernel.scalar_type"})


def _kernel(name: str) -> Callable[..., Any]:
    """Return a function which says that the kernel of this name does not exist here."""

    def absent(*_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError(f"{name} is a CUDA kernel: the stack of this host is the one for CPUs")

    absent.__name__ = absent.__qualname__ = name.rpartition(".")[2]
    return absent


def __getattr__(name: str) -> Callable[..., Any]:
    if name.startswith("__"):
        raise AttributeError(name)
    return _kernel(f"{__name__}.{name}")


class _Submodule(types.ModuleType):
    """A submodule of which every name is an absent kernel."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _kernel(f"{self.__name__}.{name}")


class _Submodules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every submodule of this package, at any depth."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return a spec for a submodule of this package, None for anything else."""
        if fullname.startswith(f"{__name__}.") and fullname not in ABSENT:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return the submodule."""
        return _Submodule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: there is nothing to run."""


sys.meta_path.append(_Submodules())
