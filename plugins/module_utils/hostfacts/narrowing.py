# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the equally fast ports carry data: by link layer, by place and by card model, with a question where that does not tell."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.candidates import Narrowed, gbps, labels
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import INFINIBAND, Port


def _waiting(state: Narrowed, ports: Sequence[Port]) -> List[Port]:
    """Return hardware that is not ACTIVE, of the same models as some ports."""
    models = {port.model for port in ports}
    return [port for port in state.down if port.model in models]


def _fits(state: Narrowed, ports: Sequence[Port], waiting: Sequence[Port] = ()) -> bool:
    """Return whether ports can be shared evenly with the GPUs, if need be together with some that are not ACTIVE now."""
    return any(state.locality.fits(len(ports) + more) for more in range(len(waiting) + 1))


def by_link_layer(state: Narrowed) -> None:
    """Keep one link layer: that of the ports beside the GPUs, else the majority; ask where it is a tie."""
    where = state.locality
    layers: Dict[str, List[Port]] = {}
    for port in state.ports:
        layers.setdefault(port.layer, []).append(port)
    if len(layers) < 2:
        return
    text = " and ".join(f"{len(ports)} {layer} port(s) ({labels(ports)})" for layer, ports in sorted(layers.items()))
    ranked = sorted(layers.values(), key=lambda ports: (-len(ports), ports[0].layer != INFINIBAND, ports[0].layer))
    near = {layer: [*where.on_switch(ports), *where.on_switch(_waiting(state, ports))] for layer, ports in layers.items()}
    covering = [layer for layer, ports in near.items() if where.covers(ports)]
    if len(covering) == 1:
        layer = covering[0]
        why = f"{layer} ports share a PCIe switch with every GPU"
    else:
        layer = ranked[0][0].layer
        why = f"most ports of that rate are {layer}"
        others = [ports for ports in ranked[1:] if len(ports) == len(ranked[0])]
        if others or (not _fits(state, ranked[0], _waiting(state, ranked[0])) and any(_fits(state, ports) for ports in ranked[1:])):
            state.ask("link_layer", f"{text} have the same rate of {gbps(state.ports[0].rate)}: which link layer carries data?", ranked)
    state.drop(lambda port: port.layer == layer, lambda port: f"{port.layer} at the same rate, but {why}")


def by_place(state: Narrowed) -> None:
    """Leave out ports on no GPU's PCIe switch, where the others serve the GPUs without them."""
    where = state.locality
    near = where.on_switch(state.ports)
    if not near or len(near) == len(state.ports):
        return
    keys = {port.key for port in near}
    far = [port for port in state.ports if port.key not in keys]
    waiting = where.on_switch(_waiting(state, near))
    if where.covers([*near, *waiting]):
        state.keep(near, "on no GPU's PCIe switch, and every GPU has another port there")
        return
    without = [gpu for gpu in where.gpus if gpu not in where.covered([*near, *waiting])]
    if any(where.rank(gpu, far) < where.rank(gpu, near) for gpu in without):
        return
    fits, all_fit = _fits(state, near, waiting), _fits(state, state.ports, _waiting(state, state.ports))
    if fits and not all_fit:
        why = f"{len(state.ports)} do not fit {len(where.gpus)} GPUs"
        state.keep(near, f"on no GPU's PCIe switch, nearer to no GPU than another, and {why}")
    elif fits and len(state.ports) != len(where.gpus):
        text = f"{labels(near)} are on PCIe switches of GPUs, {labels(far)} of the same rate are not: do these carry data, too?"
        state.ask("include", text, [near, list(state.ports)])


def _mixed(state: Narrowed, ports: Sequence[Port]) -> bool:
    """Return whether some GPU has cards of different models equally near, as all are where nothing is known."""
    where = state.locality
    return any(len({port.model for port in where.nearest(gpu, ports)}) > 1 for gpu in where.gpus)


def _model(ports: Sequence[Port]) -> str:
    kind, board, bond = ports[0].model
    return " ".join(filter(None, [kind, board, "bonds" if bond else ""])) or "an unknown model"


def by_model(state: Narrowed) -> None:
    """Keep one card model where models are mixed and only one of them, or all together, can be meant."""
    where = state.locality
    models: Dict[Tuple[str, str, bool], List[Port]] = {}
    for port in state.ports:
        models.setdefault(port.model, []).append(port)
    if len(models) < 2:
        return
    ranked = sorted(models.values(), key=lambda ports: (-len(ports), ports[0].model))
    everything = list(state.ports)
    text = " and ".join(f"{len(ports)} port(s) of {_model(ports)} ({labels(ports)})" for ports in ranked)
    text = f"{text} have the same rate of {gbps(everything[0].rate)}: which carry data?"
    if not where.gpus:
        state.ask("include", text, [*ranked, everything])
        return
    most = ranked[0]
    waiting = _waiting(state, most)
    majority = len(most) * 2 > len(everything) and _fits(state, most, waiting)
    others = _waiting(state, everything)
    all_fit = _fits(state, everything, others)
    if majority and (not all_fit or (waiting and where.covers([*most, *waiting]))):
        state.keep(most, f"other card model than the {len(most)} of {_model(most)}")
    elif all_fit and _mixed(state, [*everything, *others]):
        state.ask("include", text, [most, everything] if majority else [everything, *ranked])


def by_function(state: Narrowed) -> None:
    """Ask where several virtual functions of one port are in the running: they share its bandwidth."""
    owners: Dict[Tuple[str, int], List[Port]] = {}
    for port in state.ports:
        owner = port.parent if port.virtual_function else port.pci
        if owner and not port.soft:
            owners.setdefault((owner, port.number), []).append(port)
    shared = [ports for ports in owners.values() if len(ports) > 1]
    if shared:
        text = "; ".join(f"{labels(ports)} are functions of one port" for ports in shared)
        one_each = [ports[0] for ports in owners.values()]
        state.ask("include", f"{text}: which one of each carries data?", [one_each, list(state.ports)])


def by_count(state: Narrowed) -> None:
    """Ask where a number of ports cannot be shared evenly with the GPUs, or some are nearest to no GPU."""
    where = state.locality
    if not where.gpus or not state.ports:
        return
    everything, gpus = list(state.ports), len(where.gpus)
    # By path class only: bridges inside one switch are not a difference worth leaving a port out for.
    first = {port.key for gpu in where.gpus for port in where.nearest(gpu, everything, bridges=False)}
    nearest = [port for port in everything if port.key in first]
    apart = where.known(everything) and len(nearest) < len(everything) and where.fits(len(nearest))
    if _fits(state, everything, _waiting(state, everything)):
        if apart and len(everything) != gpus:
            beyond = [port for port in everything if port.key not in first]
            text = f"{labels(beyond)} are as fast as {labels(nearest)}, but nearest to no GPU: do they carry data, too?"
            state.ask("include", text, [nearest, everything])
    elif apart:
        state.keep(nearest, f"nearest to no GPU, and {len(everything)} do not fit {gpus} GPUs")
    elif len(everything) < gpus and len(where.on_switch(everything)) == len(everything):
        state.reasons.append(f"{len(everything)} ports for {gpus} GPUs, all of them on PCIe switches of GPUs: one may be broken")
    else:
        text = f"{len(everything)} equal ports ({labels(everything)}) do not fit {gpus} GPUs: which carry data?"
        state.ask("include", text, [everything])
