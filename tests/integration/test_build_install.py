# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The built collection: what is in it, that it installs without any network, and that it then works from anywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def call(command: list[str], cwd: Path, **env: str) -> str:
    """Run a command without the settings of this run and return its standard output; its failure is the test's.

    PYTHONPATH in particular must go: Ansible finds collections on it too.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    done = subprocess.run(command, cwd=cwd, env={**own, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(name="tarball", scope="module")
def build_tarball(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the collection, built from this checkout as it lies there, with its environments and caches."""
    output = tmp_path_factory.mktemp("build")
    call(["ansible-galaxy", "collection", "build", "--output-path", str(output)], ROOT)
    return next(output.glob("railyard-sglang-*.tar.gz"))


@pytest.fixture(name="elsewhere", scope="module")
def install_elsewhere(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return an unrelated folder and the environment of a user who has the installed collection and nothing else."""
    home = tmp_path_factory.mktemp("home")
    cwd = tmp_path_factory.mktemp("cwd")
    path = str(home / "collections")
    env = {"HOME": str(home), "ANSIBLE_HOME": str(home / ".ansible"), "ANSIBLE_COLLECTIONS_PATH": path}
    install = ["ansible-galaxy", "collection", "install", "--offline", "-p", path, str(tarball)]
    call(install, cwd, **env)
    return cwd, env


def test_tarball_has_what_belongs_and_no_more(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {member.name for member in archive.getmembers() if not member.isdir()}
    listed = call(["git", "ls-files", "-co", "--exclude-standard", "-z"], ROOT).split("\0")
    source = {path for path in listed if path and (ROOT / path).is_file()}
    assert names - source - {"MANIFEST.json", "FILES.json"} == set()
    top = {name.split("/")[0] for name in names}
    assert top.isdisjoint({"tests", "tools", "molecule", "Makefile", "requirements", "pyproject.toml", ".ci", ".tree"})
    belongs = ("plugins/", "roles/", "playbooks/", "inventory/", "meta/")
    lost = {path for path in source if path.startswith(belongs)} - names
    assert lost == set()
    assert {"README.md", "LICENSE", "CHANGELOG.rst", "requirements.txt", "site.yml"} <= names


def test_needs_no_other_collection(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        manifest = archive.extractfile("MANIFEST.json")
        assert manifest is not None
        assert json.load(manifest)["collection_info"]["dependencies"] == {}


def test_installed_collection_is_whole(elsewhere: tuple[Path, dict[str, str]]) -> None:
    cwd, env = elsewhere
    verify = ["ansible-galaxy", "collection", "verify", "--offline", "railyard.sglang"]
    assert "Successfully verified" in call(verify, cwd, **env)


def plays(listing: str) -> list[str]:
    """Return the lines of --list-tasks without the name of the playbook; Ansible lists tags in no order."""
    lines = [re.sub(r"TAGS: \[(.*)\]", lambda tags: str(sorted(tags[1].split(","))), line) for line in listing.splitlines()]
    return lines[2:]


def test_site_works_from_anywhere(elsewhere: tuple[Path, dict[str, str]]) -> None:
    cwd, env = elsewhere
    command = ["ansible-playbook", "-i", "localhost,", "--list-tasks"]
    installed = call([*command, "railyard.sglang.site"], cwd, **env)
    assert "TAGS: [" in installed
    checkout = call([*command, "site.yml"], ROOT, ANSIBLE_COLLECTIONS_PATH=str(ROOT / ".tree"))
    assert plays(installed) == plays(checkout)


def test_every_module_has_its_documentation(elsewhere: tuple[Path, dict[str, str]]) -> None:
    cwd, env = elsewhere
    modules = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    listed = json.loads(call(["ansible-doc", "--list", "--json", "railyard.sglang"], cwd, **env))
    assert {name.rsplit(".", 1)[1] for name in listed} == modules
