# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measuring unit is the engine's unit, apart from how it starts, ends and keeps files."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.unit import OWN, command, hardening

ROLE = Path(__file__).resolve().parents[5] / "roles" / "engine"


@pytest.fixture(scope="module")
def text() -> str:
    """Return the role engine's unit with its defaults."""
    environment = jinja2.Environment(
        trim_blocks=True, keep_trailing_newline=True, autoescape=jinja2.select_autoescape(), undefined=jinja2.StrictUndefined
    )
    environment.filters["railyard.sglang.systemd_command"] = " ".join
    environment.tests["match"] = lambda value, pattern: re.match(pattern, value) is not None
    template = environment.from_string((ROLE / "templates/unit.service.j2").read_text(encoding="utf-8"))
    values = yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8"))
    rank = {"instance": "p", "rank": 0, "nodes": 2, "pool": "p", "environment_file": "/e", "python": "/p", "argv": ["-m", "x"]}
    return template.render(**{**values, "engine_supplementary_groups": ["render"]}, rank=rank, sglang_host={"cluster": "lab"})


def test_everything_that_hardens_is_taken_from_the_engine(text: str) -> None:
    service = text.partition("[Service]")[2].partition("[Install]")[0]
    written = [line for line in service.splitlines() if "=" in line and not line.startswith("#")]
    found = hardening(text, exists=True)
    assert found.properties == [line for line in written if line.partition("=")[0] not in OWN]
    for needed in (
        "User=sglang", "SupplementaryGroups=render", "LimitMEMLOCK=infinity", "DevicePolicy=closed", "NoNewPrivileges=yes",
        "CapabilityBoundingSet=", "ProtectSystem=strict", "PrivateTmp=yes", "SystemCallFilter=@system-service", "RestrictNamespaces=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK", "DeviceAllow=char-infiniband_verbs rw",
    ):
        assert needed in found.properties
    assert not [line for line in found.properties if "Directory=" in line], "systemd would remove a serving engine's directory"
    assert (found.said, found.value("LimitMEMLOCK")) == ("sglang", "infinity")


def test_a_user_that_does_not_exist_is_made_up(text: str) -> None:
    found = hardening(text, exists=False)
    assert found.properties[0] == "DynamicUser=yes"
    assert not [line for line in found.properties if line.startswith(("User=", "Group="))]
    assert "does not exist yet" in found.said
    same = hardening(text, exists=True)
    assert set(same.properties) - set(found.properties) == {"User=sglang", "Group=sglang"}


def test_drop_ins_count_and_later_lines_win() -> None:
    shown = (
        "# /etc/systemd/system/x.service\n[Unit]\nDescription=x\n[Service]\nUser=a\nLimitMEMLOCK=infinity\nExecStart=/bin/x \\\n"
        "  # not this\n  LimitMEMLOCK=1 \\\n  --last\n[Install]\nWantedBy=y\n\n# /etc/systemd/system/x.service.d/50.conf\n[Service]\n"
        "; remark\nRuntimeDirectory=railyard/x\nExecStartPre=+/bin/sh x\nLimitMEMLOCK=8M\n"
    )
    found = hardening(shown, exists=True)
    assert found.properties == ["User=a", "LimitMEMLOCK=infinity", "LimitMEMLOCK=8M"]
    assert found.value("LimitMEMLOCK") == "8M"


def test_command(text: str) -> None:
    line = command("railyard-fabric-x", hardening(text, exists=True), ["/bin/echo", "$HOME"], 30, {"B": "2", "A": "1"})
    assert line[0] == "systemd-run"
    for word in ("--collect", "--wait", "--pipe", "RuntimeMaxSec=30", "WorkingDirectory=/", "KillMode=control-group"):
        assert word in line
    assert line.index("--setenv=A=1") < line.index("--setenv=B=2") < line.index("--")
    assert line[line.index("--") + 1 :] == ["/bin/echo", "$$HOME"]


def test_no_unit_text_means_root_without_hardening() -> None:
    assert hardening("", exists=False).said == "root"
