# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts of a play get one model from one of them: those of one cluster that are to have the same model at the same path."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError

VARIABLE = "model_fanout_source"


def _key(own: Mapping[str, Any]) -> Tuple[str, ...]:
    planned = own.get("sglang_host") or {}
    model = own.get("model_plan") or planned.get("model") or {}
    return (str(planned.get("cluster", "")), *(str(model.get(name) or "") for name in ("path", "name", "checksum")))


def _source(host: str, hosts: Sequence[str], members: List[str], variables: Mapping[str, Mapping[str, Any]]) -> str:
    asked = {name: str(variables[name].get(VARIABLE) or "") for name in members}
    wanted = asked[host]
    other = next((name for name in members if asked[name] != wanted), "")
    if other:
        problem = f"is {wanted!r}, and {asked[other]!r} on {other}, which is to have the same model"
        raise ModelError(f"{VARIABLE} of {host}", problem, "name one host for all of them, in the variables of the cluster's group")
    if wanted and wanted not in hosts:
        problem = f"names {wanted!r}, which is no host of this run's stage model"
        fix = f"correct it, have --limit include that host, or leave it out: {members[0]} would fetch"
        raise ModelError(f"{VARIABLE} of {host}", problem, fix)
    if wanted and wanted not in members:
        problem = f"names {wanted}, which is to have another model, or is of another cluster"
        raise ModelError(f"{VARIABLE} of {host}", problem, f"name one of {', '.join(members)}, in the variables of the cluster's group")
    return wanted or members[0]


def group(hosts: Sequence[str], variables: Mapping[str, Mapping[str, Any]], host: str) -> Dict[str, Any]:
    """Return C(source), the host that fetches the model of a host, C(members), all that get it, and C(problem), empty if there is none.

    :param hosts: those of the play, in the order of the inventory.
    :param variables: of every host, by name.
    """
    key = _key(variables[host])
    members = [name for name in hosts if _key(variables[name]) == key]
    try:
        return {"source": _source(host, hosts, members, variables), "members": members, "problem": ""}
    except ModelError as error:
        return {"source": "", "members": members, "problem": str(error)}
