# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules that change a host share: commands, SELinux contexts and refusals, each with a real AnsibleModule."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.onhost.commands import runner
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.refusing import refuse
from ansible_collections.railyard.sglang.plugins.module_utils.onhost.selinux import labeller
from ansible_collections.railyard.sglang.tests.unit.support.modules import run

SAYS = '#!/bin/sh\necho "$0 $LC_ALL $*"\necho aside >&2\nexit 3\n'


def program(directory: Path, name: str) -> str:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(SAYS)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_command(locale: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, first = program(tmp_path / "usual", "tell"), program(tmp_path / "first", "tell")
    monkeypatch.setenv("PATH", f"{tmp_path / 'usual'}:{os.environ['PATH']}")

    def main() -> None:
        module = AnsibleModule(argument_spec={})
        asked = [runner(module, directories, locale) for directories in ((), (str(tmp_path / "first"),))]
        module.exit_json(answers=[list(ask(["tell", "a b"])) for ask in asked], none=list(asked[0](["no-such-program", "x"])))

    found = run(main, {})
    assert found["answers"] == [[3, f"{path} {locale} a b\n", "aside\n"] for path in (usual, first)]
    assert found["none"] == [127, "", "no-such-program: not found"]


@pytest.mark.parametrize(
    ("faults", "more", "wanted"),
    [
        (["b", "a", "b"], {}, {"failed": True, "msg": "b\na\nNothing was changed on this host."}),
        (["a"], {"result": {"zones": {}}, "end": "All was undone."}, {"failed": True, "zones": {}, "msg": "a\nAll was undone."}),
        ([], {"result": {"zones": {}}}, {"changed": False}),
    ],
)
def test_a_refusal(faults: list[str], more: dict[str, Any], wanted: dict[str, Any]) -> None:
    def main() -> None:
        module = AnsibleModule(argument_spec={})
        refuse(module, faults, **more)
        module.exit_json(changed=False)

    assert run(main, {}) == wanted


@pytest.mark.parametrize("enabled", [True, False])
def test_an_unfinished_file_has_the_context_of_its_final_place(enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """SELinux is the one thing that stands in here: few machines that run this have it."""
    given: list[tuple[str, list[str], bool]] = []
    monkeypatch.setattr(AnsibleModule, "selinux_enabled", lambda _self: enabled)
    monkeypatch.setattr(AnsibleModule, "selinux_default_context", lambda _self, path: ["system_u", "object_r", f"type of {path}", "s0"])
    monkeypatch.setattr(
        AnsibleModule,
        "set_context_if_different",
        lambda _self, path, context, changed: given.append((path, context, changed)),
    )

    def main() -> None:
        module = AnsibleModule(argument_spec={})
        labeller(module)("/etc/.a.unfinished", "/etc/a")
        module.exit_json()

    run(main, {})
    assert given == ([("/etc/.a.unfinished", ["system_u", "object_r", "type of /etc/a", "s0"], False)] if enabled else [])
