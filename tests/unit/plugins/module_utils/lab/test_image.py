# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Sequence

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab import image
from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.image import (
    Recipe,
    build_image,
    make_recipe,
    parse_os_release,
    select_apt_options,
    select_sources,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed

DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
"""

RECIPE = Recipe("bookworm", "x86_64", ("systemd-sysv", "udev"), "Types: deb\n")


def test_sources_of_the_release_are_taken_and_others_left_out() -> None:
    others = (
        "deb http://third.example/deb nodistro main\n"
        "deb http://third.example/docker bookworm stable\n"
        "# deb http://old.example/debian bookworm main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
    )
    disabled = "Enabled: no\nTypes: deb\nURIs: http://off.example/\nSuites: bookworm\nComponents: main\n"
    files = [("debian.sources", DEB822), ("third.list", others), ("off.sources", disabled)]
    assert select_sources(files, "bookworm") == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\nComponents: main\n"
        "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n"
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "deb http://m.example/debian bookworm main",
            "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n",
        ),
        (
            "deb [arch=amd64,arm64 signed-by=/k.gpg trusted=yes] http://m.example/ubuntu bookworm main universe # ours",
            "Types: deb\nURIs: http://m.example/ubuntu\nSuites: bookworm\nComponents: main universe\n"
            "Architectures: amd64 arm64\nSigned-By: /k.gpg\nTrusted: yes\n",
        ),
        ("deb http://m.example/debian trixie main", ""),
        ("", ""),
    ],
)
def test_one_line_sources(line: str, expected: str) -> None:
    assert select_sources([("sources.list", line)], "bookworm") == expected


def test_apt_options_that_reach_the_sources_are_kept() -> None:
    dump = (
        'APT::Architecture "amd64";\nAcquire "";\nAcquire::http "";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::https::CaInfo "/ca.pem";\nAcquire::Check-Date "false";\n'
        'Acquire::Languages:: "en";\nDPkg::Post-Invoke:: "true";\n'
    )
    assert select_apt_options(dump) == (
        'Acquire::http::Proxy "http://proxy.example:3128";\nAcquire::https::CaInfo "/ca.pem";\nAcquire::Check-Date "false";\n'
    )


@pytest.mark.parametrize(
    ("text", "identifier", "codename"),
    [
        ('ID=debian\nVERSION_CODENAME=bookworm\nNAME="Debian = GNU"\n', "debian", "bookworm"),
        ('ID="rhel"\nVERSION_ID="9.4"\n', "rhel", ""),
        ("# nothing\n\n", "", ""),
    ],
)
def test_os_release(text: str, identifier: str, codename: str) -> None:
    release = parse_os_release(text)
    assert (release.identifier, release.codename) == (identifier, codename)


# --- the name of an image


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "trixie"},
        {"architecture": "aarch64"},
        {"packages": ("systemd-sysv",)},
        {"sources": "Types: deb\nURIs: x\n"},
    ],
)
def test_name_changes_with_each_ingredient(change: dict[str, Any]) -> None:
    assert replace(RECIPE, **change).digest() != RECIPE.digest()


@pytest.mark.parametrize("name", ["RECIPE", "FILES", "MASKED_UNITS", "REMOVED"])
def test_name_changes_with_what_this_collection_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = RECIPE.digest()
    monkeypatch.setattr(image, name, {"RECIPE": 99, "FILES": {}}.get(name, ()))
    assert RECIPE.digest() != before


def test_name_does_not_change_with_the_order_of_packages() -> None:
    assert replace(RECIPE, packages=("udev", "systemd-sysv", "udev")).digest() == RECIPE.digest()


def machine(root: Path, os_release: str, sources: str) -> Path:
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    (root / "etc/os-release").write_text(os_release)
    (root / "etc/apt/sources.list.d/debian.sources").write_text(sources)
    return root


def test_recipe_of_this_machine(tmp_path: Path) -> None:
    recipe = make_recipe(["curl"], root=machine(tmp_path, "VERSION_CODENAME=bookworm\n", DEB822))
    assert recipe.suite == "bookworm"
    assert set(image.PACKAGES) | {"curl"} == set(recipe.packages)
    assert "http://mirror.example/security" in recipe.sources


@pytest.mark.parametrize(("os_release", "suite"), [('ID="rhel"\n', ""), ("VERSION_CODENAME=bookworm\n", "noble")])
def test_machine_without_sources_is_told_what_to_set(os_release: str, suite: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"lab_suite .* lab_apt_sources"):
        make_recipe([], suite, root=machine(tmp_path, os_release, DEB822))


def test_another_release_of_debian_comes_from_the_same_place(tmp_path: Path) -> None:
    root = machine(tmp_path / "root", "VERSION_CODENAME=bookworm\n", DEB822)
    recipe = make_recipe([], "trixie", root=root)
    assert recipe.suite == "trixie"
    assert recipe.sources.startswith("Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\n")
    assert "Suites: trixie-security\n" in recipe.sources
    assert "bookworm" not in recipe.sources
    # An operator's files are what the operator says, whatever they lack.
    own = tmp_path / "own.sources"
    own.write_text(DEB822)
    with pytest.raises(LabError, match="No package source for the release 'trixie'"):
        make_recipe([], "trixie", [own], root=root)


def test_operators_sources_are_used(tmp_path: Path) -> None:
    own = tmp_path / "own.list"
    own.write_text("deb http://m.example/ubuntu noble main\n")
    recipe = make_recipe([], "noble", [own], root=machine(tmp_path, 'ID="rhel"\n', ""))
    assert recipe.sources.startswith("Types: deb\nURIs: http://m.example/ubuntu\nSuites: noble\n")


# --- building


def fake_root(root: Path) -> None:
    for directory in ("etc/systemd/system", "etc/apt/sources.list.d", "etc/ssh", "root", "var/cache/apt"):
        (root / directory).mkdir(parents=True)
    (root / "etc/apt/sources.list.d/0000lab.sources").write_text("https://user:secret@mirror.example/")
    (root / "etc/ssh/ssh_host_rsa_key").write_text("shared by all")
    (root / "etc/hostname").write_text("machine\n")
    (root / "etc/resolv.conf").symlink_to("/run/systemd/resolve/stub-resolv.conf")


class Builder:
    """A runner that makes a root instead of running mmdebstrap."""

    def __init__(self, rc: int = 0) -> None:
        self.rc = rc
        self.commands: list[list[str]] = []

    def __call__(self, argv: Sequence[str], stdin: Optional[str]) -> Completed:
        self.commands.append(list(argv))
        if argv[0] == "mmdebstrap":
            fake_root(Path(argv[-2]))
            return Completed(self.rc, "", "E: some package is missing")
        return Completed(0, 'Acquire::Check-Date "false";\n' if argv[0] == "apt-config" else "", "")


def test_image_is_built_once(tmp_path: Path) -> None:
    images, builder = tmp_path / "image", Builder()
    path = build_image(RECIPE, images, builder)
    assert path == images / RECIPE.digest()
    assert [each.name for each in images.iterdir()] == [RECIPE.digest()]
    assert [command[0] for command in builder.commands] == ["apt-config", "mmdebstrap", "sync"]
    assert build_image(RECIPE, images, builder) == path
    assert len(builder.commands) == 3


def test_image_has_no_identity_and_no_package_sources(tmp_path: Path) -> None:
    path = build_image(RECIPE, tmp_path, Builder())
    assert (path / "etc/machine-id").read_text() == ""
    assert not list(path.glob("etc/ssh/ssh_host_*"))
    assert not (path / "etc/hostname").exists()
    assert not (path / "etc/apt/sources.list.d").exists()
    assert not (path / "etc/resolv.conf").is_symlink()
    assert (path / "etc/systemd/system/console-getty.service").readlink() == Path("/dev/null")


def test_failed_build_leaves_nothing_and_tells_why(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"Cannot build the root image .*: E: some package is missing"):
        build_image(RECIPE, tmp_path, Builder(rc=25))
    assert list(tmp_path.iterdir()) == []


def test_remains_of_a_killed_build_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".building-0123456789ab-999999999/root").mkdir(parents=True)
    build_image(RECIPE, tmp_path, Builder())
    assert [each.name for each in tmp_path.iterdir()] == [RECIPE.digest()]
