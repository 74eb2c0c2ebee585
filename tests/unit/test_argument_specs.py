# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role's argument_specs and defaults say the same. No other gate notices when they drift apart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

ROLES = Path(__file__).resolve().parents[2] / "roles"
ROLE_NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir()) if ROLES.is_dir() else []


def load(path: Path) -> dict[str, Any]:
    """Return a YAML mapping; an absent or empty file is an empty one."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def is_template(value: Any) -> bool:
    """Tell whether a default is computed by Jinja2 anywhere inside."""
    if isinstance(value, dict):
        return any(is_template(item) for item in value.values())
    if isinstance(value, list):
        return any(is_template(item) for item in value)
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def problems(role: Path) -> list[str]:
    """Return what is wrong between meta/argument_specs.yml (entry point main) and defaults/main.yml of a role."""
    found = []
    specs_file = role / "meta" / "argument_specs.yml"
    if not specs_file.is_file():
        return [f"{role.name}: meta/argument_specs.yml is missing"]
    main = load(specs_file).get("argument_specs", {}).get("main")
    if main is None:
        return [f"{role.name}: argument_specs has no entry point main"]
    options: dict[str, Any] = main.get("options") or {}
    defaults_file = role / "defaults" / "main.yml"
    defaults = load(defaults_file)
    text = defaults_file.read_text(encoding="utf-8") if defaults_file.is_file() else ""

    for name, option in options.items():
        if not name.startswith(f"{role.name}_") and name != "sglang_host":
            found.append(f"{name}: is not named {role.name}_...")
        if "type" not in option or "description" not in option:
            found.append(f"{name}: needs a type and a description")
        if option.get("required"):
            if name in defaults:
                found.append(f"{name}: is required, so it must not have a default")
            if "default" in option:
                found.append(f"{name}: is required and has a default in argument_specs")
        elif name in defaults:
            if "default" not in option and defaults[name] is not None:
                found.append(f"{name}: argument_specs has no default, defaults/main.yml has {defaults[name]!r}")
            elif option.get("default") != defaults[name] or type(option.get("default")) is not type(defaults[name]):
                found.append(f"{name}: default {option.get('default')!r} in the specs, {defaults[name]!r} in defaults")
        elif "default" in option:
            found.append(f"{name}: default {option['default']!r} in argument_specs, none in defaults/main.yml")
        if name not in defaults and name != "sglang_host" and not re.search(rf"^# ?{re.escape(name)}:", text, re.M):
            found.append(f"{name}: defaults/main.yml does not show it, not even commented out")
    found += [f"{name}: is in defaults/main.yml, not in argument_specs" for name in defaults if name not in options]

    # Ansible itself checks the values that are plain data: type, choices, suboptions.
    plain = {name: value for name, value in defaults.items() if name in options and not is_template(value)}
    checked = {name: {**options[name], "required": False} for name in plain if plain[name] is not None}
    for option in checked.values():
        option.pop("default", None)
        option.pop("description", None)
    result = ArgumentSpecValidator(checked).validate({name: plain[name] for name in checked})
    found += [f"defaults/main.yml: {message}" for message in result.error_messages]
    return [f"{role.name}: {problem}" for problem in found]


@pytest.mark.parametrize("name", ROLE_NAMES)
def test_argument_specs_equal_defaults(name: str) -> None:
    found = problems(ROLES / name)
    assert not found, "\n".join(found)


def test_there_are_roles() -> None:
    assert len(ROLE_NAMES) >= 7


GOOD_SPECS = """
argument_specs:
  main:
    short_description: A role.
    options:
      demo_port: {type: int, default: 30000, description: A port.}
      demo_mode: {type: str, default: fast, choices: [fast, slow], description: A mode.}
      demo_name: {type: str, required: true, description: A name.}
      demo_list: {type: list, elements: str, default: "{{ other | default([]) }}", description: A list.}
"""
GOOD_DEFAULTS = """
demo_port: 30000
demo_mode: fast
demo_list: "{{ other | default([]) }}"
# demo_name: the name
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("", "", None),
        ("demo_port: 30000", "demo_port: 30001", "30001"),
        ("demo_port: 30000", "demo_port: '30000'", "'30000'"),
        ("demo_port: 30000\n", "", "none in defaults"),
        ("# demo_name: the name", "demo_name: x", "must not have a default"),
        ("# demo_name: the name", "", "not even commented out"),
        ("# demo_name", "demo_extra: 1\n# demo_name", "not in argument_specs"),
        ("default: 30000, ", "", "has no default"),
        ("demo_mode: fast", "demo_mode: quick", "quick"),
        (" default: fast, choices: [fast, slow],", " default: fast, choices: [slow],", "must be one of"),
        ("demo_port", "port", "is not named"),
    ],
)
def test_drift_is_found(tmp_path: Path, old: str, new: str, complaint: str | None) -> None:
    role = tmp_path / "demo"
    (role / "meta").mkdir(parents=True)
    (role / "defaults").mkdir()
    assert old in GOOD_SPECS + GOOD_DEFAULTS
    (role / "meta" / "argument_specs.yml").write_text(GOOD_SPECS.replace(old, new), encoding="utf-8")
    (role / "defaults" / "main.yml").write_text(GOOD_DEFAULTS.replace(old, new), encoding="utf-8")
    found = problems(role)
    if complaint is None:
        assert found == []
    else:
        assert any(complaint in problem for problem in found), found
