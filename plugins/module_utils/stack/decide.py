# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host can run a stack, decided from the stack's needs and the host's facts before anything is downloaded.

What is not known is not refused: an unknown GPU, a library that cannot be read, a compiler without a version. The import tests of the
build, and the engine, decide then.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import elf
from ansible_collections.railyard.sglang.plugins.module_utils.stack import architectures
from ansible_collections.railyard.sglang.plugins.module_utils.stack.hosts import PROGRAMS, Gpu, HostFacts
from ansible_collections.railyard.sglang.plugins.module_utils.stack.needs import Least, Needs, number
from ansible_collections.railyard.sglang.plugins.module_utils.stack.ospackages import Table, python_packages

# Rules, as waivers name them.
RULES = frozenset({
    "stack.obtain", "stack.machine", "stack.python", "stack.library", "stack.gpu", "stack.gpu-architecture", "stack.gpu-driver",
    "stack.nvcc",
})
# What the environment of a stack that is installed already has proven by itself.
PROVEN = frozenset({"stack.obtain", "stack.machine", "stack.python", "stack.library"})
# What only matters where the engine runs: a builder for others may lack it.
RUNNING = frozenset({"stack.gpu", "stack.gpu-architecture", "stack.gpu-driver", "stack.nvcc"})
VENDORS = {"nvidia": "NVIDIA", "amd": "AMD", "huawei": "Ascend"}
NEWER = "use a newer release of the operating system, or a stack for this one"


@dataclass(frozen=True)
class Refusal:
    """One reason: the rule, what was found, what is needed, what helps. instead: the stacks that work on this host."""

    rule: str
    found: str
    needed: str
    fix: str
    instead: tuple[str, ...] = ()

    def line(self) -> str:
        """Return it as one line of text."""
        works = f"Works here: {', '.join(self.instead)}." if self.instead else "No stack that this collection knows works here."
        return f"{self.rule}: {self.found}; {self.needed}. Fix: {self.fix}. {works}"

    def plain(self) -> dict[str, object]:
        """Return it as plain data."""
        return {"rule": self.rule, "found": self.found, "needed": self.needed, "fix": self.fix, "instead": list(self.instead)}


def _all(least: Least | None, own: Sequence[Gpu], needs: Needs, key: str) -> list[Least]:
    """Return what is needed of a driver or compiler: that of the stack, and those of the architectures that the host has."""
    found = [least] if least else []
    for name in dict.fromkeys(gpu.architecture for gpu in own):
        version = getattr(needs.architectures.get(name or ""), key, "")
        if version:
            found.append(Least(version, f"architecture {architectures.title(name or '')}", least.below if least else ""))
    return found


def _fits(version: str | None, wanted: Sequence[Least]) -> bool:
    """Say whether a compiler is new enough and not too new; one of unknown version is taken."""
    if version is None:
        return True
    of = number(version)
    return all(of >= number(least.least) and (not least.below or of < number(least.below)) for least in wanted)


@dataclass(frozen=True)
class Case:
    """A stack and a host. own are the host's GPUs of the kind that the stack is for."""

    needs: Needs
    facts: HostFacts
    table: Table

    @property
    def own(self) -> list[Gpu]:
        """The GPUs that the stack is for."""
        return [gpu for gpu in self.facts.gpus if gpu.vendor == self.needs.vendor]

    def obtain(self) -> Iterator[Refusal]:
        """The collection can install it."""
        if not self.needs.locked:
            fix = f"{self.needs.obtain or 'write its lock'}, then name the environment in stack_external"
            yield Refusal("stack.obtain", "the collection does not install this stack", "it has no lock", fix)

    def machine(self) -> Iterator[Refusal]:
        """There are wheels for the machine."""
        if self.facts.machine not in self.needs.machines:
            wanted = f"it is locked for {', '.join(self.needs.machines)}"
            yield Refusal("stack.machine", f"this host is {self.facts.machine}", wanted, "choose a stack for this machine")

    def python(self) -> Iterator[Refusal]:
        """A Python of the lock is there or can be installed."""
        wanted, there = self.needs.pythons, self.facts.pythons
        if not self.needs.locked or set(wanted) & set(there) or python_packages(self.table, wanted, self.facts.system):
            return
        found = f"Python {', '.join(sorted(there, key=number))}" if there else "no Python 3"
        names = " or ".join(f"python{version}" for version in wanted)
        fix = f"install {names}, of which {self.facts.title} has no package known here, and name its path in stack_python"
        yield Refusal("stack.python", f"{found} in {' and '.join(PROGRAMS)}", f"it is locked for Python {' or '.join(wanted)}", fix)

    def library(self) -> Iterator[Refusal]:
        """The libraries of the host define the symbols that the wheels want."""
        for symbol in self.needs.symbols:
            library = self.facts.libraries.get(symbol.library)
            if library is None or library.versions is None or symbol.version in library.versions:
                continue
            prefix = elf.prefix_of(symbol.version)
            newest = elf.newest(list(library.versions), prefix)
            found = f"{library.path} of {self.facts.title} " + (f"ends at {newest}" if newest else f"has no {prefix}*")
            yield Refusal("stack.library", found, f"{symbol.of} needs {symbol.version}", NEWER)

    def gpu(self) -> Iterator[Refusal]:
        """There are GPUs of the kind that it is for."""
        if self.needs.vendor and not self.own:
            others = sorted({VENDORS[gpu.vendor] for gpu in self.facts.gpus})
            found = f"the GPUs here are {' and '.join(others)}'s" if others else "this host has no GPU on its PCI buses"
            yield Refusal("stack.gpu", found, f"it runs on {VENDORS[self.needs.vendor]} GPUs", "choose a stack for what the host has")

    def architecture(self) -> Iterator[Refusal]:
        """It has kernels for them."""
        wanted = f"{self.needs.kernels} has kernels for {', '.join(self.needs.architectures)}"
        for name in dict.fromkeys(gpu.architecture for gpu in self.own):
            if name is not None and name not in self.needs.architectures:
                models = sorted({gpu.model or "a GPU" for gpu in self.own if gpu.architecture == name})
                found = f"{' and '.join(models)} is {architectures.title(name)}"
                yield Refusal("stack.gpu-architecture", found, wanted, "choose a stack with kernels for it, or other hosts for this one")

    def driver(self) -> Iterator[Refusal]:
        """Their driver is loaded and new enough."""
        needs, facts = self.needs, self.facts
        if self.own and needs.vendor == "amd" and not facts.amdgpu:
            yield Refusal("stack.gpu-driver", "amdgpu is not loaded", "ROCm needs it", "install and load AMD's driver")
        wanted = _all(needs.driver, self.own, needs, "driver") if self.own and needs.vendor == "nvidia" else []
        for least in wanted if facts.driver else wanted[:1]:
            needed = f"{least.of} needs {least.least} or newer"
            if facts.driver is None:
                yield Refusal("stack.gpu-driver", "NVIDIA's driver is not loaded", needed, "install the driver and reboot, or load it")
            elif number(facts.driver) < number(least.least):
                cuda = architectures.cuda_of(facts.driver)
                found = f"NVIDIA's driver is {facts.driver}" + (f", which runs CUDA up to {cuda}" if cuda else "")
                yield Refusal("stack.gpu-driver", found, needed, "install a newer driver and reboot, or choose a stack for an older CUDA")

    def nvcc(self) -> Iterator[Refusal]:
        """The compiler that it calls at run time is there, and of a version that it works with."""
        least = self.needs.nvcc
        wanted = _all(least, self.own, self.needs, "nvcc") if least and self.own else []
        if least is None or not wanted or any(_fits(compiler.version, wanted) for compiler in self.facts.compilers):
            return
        version = f"{max((entry.least for entry in wanted), key=number)} or newer" + (f" and below {least.below}" if least.below else "")
        listed = "; ".join(f"{compiler.path} has nvcc {compiler.version}" for compiler in self.facts.compilers)
        fits = [compiler.path for compiler in self.facts.others if compiler.version and _fits(compiler.version, wanted)]
        fix = "install nvcc and the CUDA headers of such a version from NVIDIA's repository"
        if fits:
            fix = f"set sglang_cuda_home to {' or '.join(fits)}, which the engine does not find by itself"
        found = listed or f"no nvcc in {self.facts.toolkits}"
        yield Refusal("stack.nvcc", found, f"{least.of} at run time, with nvcc {version}", fix)

    def refusals(self) -> Iterator[Refusal]:
        """Yield every reason against the stack."""
        for check in (self.obtain, self.machine, self.python, self.library, self.gpu, self.architecture, self.driver, self.nvcc):
            yield from check()


def reasons(needs: Needs, facts: HostFacts, table: Table, without: Iterable[str] = ()) -> list[Refusal]:
    """Return every reason why a host cannot run a stack; none if it can.

    :param without: rules that do not count.
    """
    left_out = frozenset(without)
    return [refusal for refusal in Case(needs, facts, table).refusals() if refusal.rule not in left_out]


def _alike(one: str, other: str) -> int:
    """Return how many characters two names begin with in common."""
    return sum(1 for _pair in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other)))


def working(needs: Needs, known: Iterable[Needs], facts: HostFacts, table: Table) -> tuple[str, ...]:
    """Return the stacks of the same kind and for the same GPUs that work on a host, the most similar names first.

    Where the host has none of these GPUs, those for what it has count. Those whose environment would have to be there already are named
    only if there is no other.
    """
    same = not needs.vendor or any(gpu.vendor == needs.vendor for gpu in facts.gpus)
    others = [other for other in known if other.kind == needs.kind and other.name != needs.name]
    others = [other for other in others if not same or other.vendor == needs.vendor]
    for without in (frozenset[str](), PROVEN):
        found = [other.name for other in others if not reasons(other, facts, table, without)]
        if found:
            note = " (by stack_external)" if without else ""
            similar = sorted(found, key=lambda name: (-_alike(name, needs.name), name))
            return tuple(name + note for name in similar)
    return ()


def decide(
    needs: Needs, facts: HostFacts, table: Table, known: Sequence[Needs] = (), without: Iterable[str] = (),
) -> list[Refusal]:
    """Return the reasons why a host cannot run a stack, each with the stacks that work there instead."""
    found = reasons(needs, facts, table, without)
    instead = working(needs, known, facts, table) if found else ()
    return [replace(refusal, instead=instead) for refusal in found]


def text(host: str, refusals: Mapping[str, Sequence[Refusal]]) -> str:
    """Return the message of a run that stops: every stack with all its reasons."""
    lines = [f"{host} cannot run what it is to run; nothing was downloaded and nothing was changed:"]
    for name, found in refusals.items():
        lines += [f"- {host}: stack {name}: {refusal.line()}" for refusal in found]
    return "\n".join(lines)
