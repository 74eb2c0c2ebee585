# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who fetches for whom, where a play holds several clusters and models."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.model.groups import group


def host(cluster: str = "c", path: str = "/m/a", checksum: str = "", source: str = "", **more: Any) -> dict[str, Any]:
    model = {"path": path, "name": "a", "checksum": checksum, **more}
    return {"sglang_host": {"cluster": cluster, "model": model}, **({"model_fanout_source": source} if source else {})}


CASES: dict[str, tuple[dict[str, dict[str, Any]], dict[str, tuple[str, list[str]]]]] = {
    "one cluster": ({"a": host(), "b": host()}, {"a": ("a", ["a", "b"]), "b": ("a", ["a", "b"])}),
    "the one that is named": ({"a": host(source="b"), "b": host(source="b")}, {"a": ("b", ["a", "b"])}),
    "two clusters": (
        {"a": host(), "x": host("other"), "b": host(), "y": host("other")}, {"b": ("a", ["a", "b"]), "y": ("x", ["x", "y"])},
    ),
    "two paths": ({"a": host(), "b": host(path="/m/b")}, {"b": ("b", ["b"])}),
    "two checksums": ({"a": host(checksum="1"), "b": host(checksum="2"), "c": host(checksum="2")}, {"c": ("b", ["b", "c"])}),
    "two names": ({"a": host(), "b": host(name="b")}, {"b": ("b", ["b"])}),
    "model_plan is an operator's": ({"a": host(), "b": {**host(), "model_plan": {"path": "/x", "name": "a"}}}, {"b": ("b", ["b"])}),
}


@pytest.mark.parametrize(("variables", "wanted"), CASES.values(), ids=CASES)
def test_groups(variables: dict[str, dict[str, Any]], wanted: dict[str, tuple[str, list[str]]]) -> None:
    for name, (source, members) in wanted.items():
        assert group(list(variables), variables, name) == {"source": source, "members": members, "problem": ""}


REFUSED: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "no such host": (
        {"a": host(source="typo"), "b": host(source="typo")},
        "model_fanout_source of b: names 'typo', which is no host of this run's stage model. Fix: correct it, have --limit include that "
        "host, or leave it out: a would fetch",
    ),
    "of another cluster": (
        {"x": host("other"), "a": host(source="x"), "b": host(source="x")},
        "model_fanout_source of b: names x, which is to have another model, or is of another cluster. Fix: name one of a, b, in the "
        "variables of the cluster's group",
    ),
    "two names": (
        {"a": host(source="a"), "b": host(source="b")},
        "model_fanout_source of b: is 'b', and 'a' on a, which is to have the same model. Fix: name one host for all of them, in the "
        "variables of the cluster's group",
    ),
    "one has none": (
        {"a": host(source="a"), "b": host()},
        "model_fanout_source of b: is '', and 'a' on a, which is to have the same model. Fix: name one host for all of them, in the "
        "variables of the cluster's group",
    ),
}


@pytest.mark.parametrize(("variables", "text"), REFUSED.values(), ids=REFUSED)
def test_refusals(variables: dict[str, dict[str, Any]], text: str) -> None:
    assert group(list(variables), variables, "b")["problem"] == text
