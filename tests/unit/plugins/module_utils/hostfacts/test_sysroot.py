# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading below a root path: links, limits, errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root, natural, number


@pytest.fixture(name="tree")
def make_tree(tmp_path: Path) -> Path:
    """A root, with a secret beside it that no link may reach."""
    (tmp_path / "secret").write_text("outside\n", encoding="utf-8")
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("  text \n\n", encoding="utf-8")
    (root / "secret").write_text("inside\n", encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("a/b/file", "text"),
        ("a/../a/./b//file", "text"),
        ("/a/b/file", "text"),
        ("/../../../a/b/file", "text"),
        ("../../../../../secret", "inside"),
        ("/secret", "inside"),
        ("../secret", "inside"),
        ("link", None),
        ("nothing", None),
        ("/etc/hostname", None),
        ("a", None),
        ("a/b/file/more", None),
    ],
)
def test_links_stay_inside(tree: Path, target: str, text: str | None) -> None:
    (tree / "link").symlink_to(target)
    root = Root(str(tree))
    assert root.read("/link") == text
    assert root.real("/link") in (None, "/a/b/file", "/secret", "/a")


def test_a_link_out_of_the_root_by_a_directory(tree: Path) -> None:
    (tree / "up").symlink_to(tree.parent)
    (tree / "down").symlink_to("../..")
    root = Root(str(tree))
    assert root.list("/up") == []
    assert root.list("/down") == ["a", "down", "secret", "up"]
    assert root.read("/down/secret") == "inside"
    assert root.real("/down/../down/a/b") == "/a/b"


def test_absolute_links_start_at_the_root(tree: Path) -> None:
    (tree / "a/b/link").symlink_to("/a")
    (tree / "a/b/file2").symlink_to("/secret")
    root = Root(str(tree))
    assert root.real("/a/b/link/b/link/b") == "/a/b"
    assert root.read("/a/b/file2") == "inside"


def test_loops_end(tree: Path) -> None:
    (tree / "one").symlink_to("two")
    (tree / "two").symlink_to("one")
    (tree / "self").symlink_to("self/self")
    (tree / "a/again").symlink_to("../a")
    root = Root(str(tree))
    assert root.read("one") is None
    assert root.read("two/file") is None
    assert root.list("self") == []
    assert root.real("self") is None
    assert root.errors == {"/one": "ELOOP", "/two/file": "ELOOP", "/self": "ELOOP"}
    assert root.read("/a/" + "again/" * 30 + "b/file") == "text"
    assert root.read("/a/" + "again/" * 60 + "b/file") is None


def test_pipes_and_devices_are_not_opened(tree: Path) -> None:
    os.mkfifo(tree / "pipe")
    root = Root(str(tree))
    assert root.read("pipe") is None
    assert root.contains("pipe", ["x"]) is None
    assert root.read("a") is None
    assert root.errors == {"/pipe": "ENODEV", "/a": "EISDIR"}
    live = Root("/")
    assert live.read("/dev/zero") is None
    assert live.errors == {"/dev/zero": "ENODEV"}


def test_absence_is_no_error(tree: Path) -> None:
    root = Root(str(tree))
    assert (root.read("no"), root.number("no"), root.list("no"), root.real("no"), root.link("no")) == (None, None, [], None, None)
    assert root.errors == {}
    assert root.link("a/b/file") is None
    assert root.errors == {}


def test_what_cannot_be_read_is_kept(tree: Path) -> None:
    class Stubborn(Root):
        """Fails as the kernel does for the type of an empty GID slot."""

        def _load(self, *arguments: int) -> bytes:
            raise OSError(22, f"Invalid argument: {arguments}")

    root = Stubborn(str(tree))
    assert root.read("/a/b/file") is None
    assert root.errors == {"/a/b/file": "EINVAL"}


def test_no_permission(plain_user: Path) -> None:
    root = Root(str(plain_user))
    assert root.read("/closed") is None
    assert root.errors == {"/closed": "EACCES"}


def test_long_files(tree: Path) -> None:
    (tree / "long").write_bytes(b"x" * 5000)
    with (tree / "huge").open("wb") as stream:
        stream.truncate(1 << 40)
    root = Root(str(tree))
    assert root.data("long", 5000) == b"x" * 5000
    assert root.data("long", 4999) is None
    assert root.data("long", 10, cut=True) == b"x" * 10
    assert root.read("huge") is None
    assert root.contains("huge", ["x"], limit=1 << 22) == set()
    assert root.errors == {"/long": "EFBIG", "/huge": "EFBIG"}


def test_words_across_chunks(tree: Path) -> None:
    (tree / "symbols").write_bytes(b"." * ((1 << 20) - 3) + b"needle" + b"." * 10)
    root = Root(str(tree))
    assert root.contains("symbols", ["needle", "other"]) == {"needle"}
    assert root.contains("absent", ["needle"]) is None


def test_the_number_of_reads_is_bounded(tree: Path) -> None:
    root = Root(str(tree), limit=2)
    assert [root.read("secret") for _turn in range(3)] == ["inside", "inside", None]
    assert root.list("a") == []
    assert root.errors == {"/secret": "EDQUOT", "/a": "EDQUOT"}


def test_names_that_are_no_text(tree: Path) -> None:
    os.mkdir(os.fsencode(tree) + b"/a/\xff\xfe")
    (tree / "a/new\nline").mkdir()
    root = Root(str(tree))
    assert root.list("a") == ["b"]
    assert root.errors == {"/a": "EILSEQ"}
    assert root.read("/a/\0") is None
    assert root.real("/a/\0/b") is None
    assert root.link("/a/\0") is None


def test_bytes_that_are_no_text(tree: Path) -> None:
    (tree / "binary").write_bytes(b"\xff\x00\x80abc\x00\n")
    assert Root(str(tree)).read("binary") == "\ufffd\x00\ufffdabc"


def test_this_machine() -> None:
    root = Root("/")
    assert root.live
    assert root.real("/proc/self") == f"/proc/{os.getpid()}"
    assert (root.read("/proc/self/comm") or "") == Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    # Several pages, and a size of 0.
    assert (root.read("/proc/self/smaps", 1 << 24) or "").count("VmFlags") > 20
    assert not Root("/proc").live


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("12", 12), ("-1", -1), ("0x1f", 31), ("", None), (None, None)],
        *[("1.5", None), ("٣", None), ("9" * 30, None), ("0x", None), ("1 2", None)],
    ],
)
def test_number(text: str | None, value: int | None) -> None:
    assert number(text) == value


def test_natural_order() -> None:
    names = ["mlx5_10", "mlx5_2", "10", "9", "mlx5_bond_0", "", "a²", "mlx5_2x"]
    assert sorted(names, key=natural) == ["", "9", "10", "a²", "mlx5_2", "mlx5_2x", "mlx5_10", "mlx5_bond_0"]
