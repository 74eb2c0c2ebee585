# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo` as a newcomer runs it: from a copy of the tree, with no cache of any kind, again, and once more after the lab is gone."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from labkit import ROOT, Labs

pytestmark = [pytest.mark.lab, pytest.mark.full]

# What the first issue promises on two cores, in seconds.
PROMISED = {"empty caches": 720, "again": 120, "after lab-down": 180}


class Newcomer:
    """A checkout and a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "railyard"
        listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        self.tree.mkdir()
        subprocess.run(["cp", "--parents", "-a", "--", *os.fsdecode(listed).strip("\0").split("\0"), self.tree], cwd=ROOT, check=True)
        kept = ("PATH", "LANG", "TERM", "USER", "LOGNAME", "SUDO_USER", "WHEELS_INDEX", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
        settings = {
            name: value for name, value in os.environ.items() if name in kept or name.lower().endswith("_proxy") or name.startswith("PIP_")
        }
        own = str(ROOT / ".venv")
        settings["PATH"] = os.pathsep.join(part for part in settings["PATH"].split(os.pathsep) if not part.startswith(own))
        self.environment = {**settings, "HOME": str(folder / "home"), "RAILYARD_LAB_NAME": "testdemo"}
        (folder / "home").mkdir()

    def make(self, target: str) -> str:
        """Run one of the README's commands."""
        done = subprocess.run(
            ["make", target], cwd=self.tree, env=self.environment, capture_output=True, text=True, check=False, timeout=1200,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout


@pytest.fixture(name="newcomer", scope="module")
def fresh_start(labs: Labs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    """A newcomer, with no other lab beside."""
    labs.take_down()
    newcomer = Newcomer(tmp_path_factory.mktemp("newcomer"))
    yield newcomer
    newcomer.make("lab-down")


@pytest.mark.parametrize("turn", PROMISED)
def test_make_demo_ends_with_an_answer_in_the_promised_time(turn: str, newcomer: Newcomer) -> None:
    if turn == "after lab-down":
        newcomer.make("lab-down")
    text = newcomer.make("demo")
    print(text[-3000:])
    (total,) = re.findall(r"^  make demo +([0-9.]+) s$", text, re.MULTILINE)
    assert float(total) <= PROMISED[turn]
    assert re.search(r"completion tokens|tokens", text), text[-3000:]
    for host in ("p0", "p1", "d0", "d1", "r0"):
        assert re.search(rf"^ *{host} ", text, re.MULTILINE), text[-3000:]
