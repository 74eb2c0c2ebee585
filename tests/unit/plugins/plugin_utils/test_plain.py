# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data of Ansible becomes plain data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible._internal._datatag._tags import Origin
from ansible.module_utils.datatag import native_type_name

from ansible_collections.railyard.sglang.plugins.plugin_utils.plain import plain


@pytest.mark.parametrize(
    ("value", "wanted"),
    [({1: ("a", [True, None])}, {"1": ["a", [True, None]]}), (1.5, 1.5), (7, 7), ("x", "x"), (Path("/x"), "/x"), (False, False)],
)
def test_plain(value: Any, wanted: Any) -> None:
    assert plain(value) == wanted


def test_plain_drops_ansible_s_own_types() -> None:
    tagged = Origin(description="inventory").tag({"a": Origin(description="inventory").tag("x")})
    found = plain(tagged)
    assert (type(found), type(found["a"])) == (dict, str)
    assert native_type_name(found) == "dict"
    assert json.dumps(found) == '{"a": "x"}'
