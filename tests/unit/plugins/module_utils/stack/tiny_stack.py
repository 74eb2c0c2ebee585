# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack of one tiny wheel, made on the spot, and the real uv which installs it."""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack.apply import Options
from ansible_collections.railyard.sglang.plugins.module_utils.stack.build import Build, Source
from ansible_collections.railyard.sglang.plugins.module_utils.stack.definition import parse_definition
from ansible_collections.railyard.sglang.plugins.module_utils.stack.host import find_python
from ansible_collections.railyard.sglang.plugins.module_utils.stack.store import Place
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import sha256

ROOT = Path(__file__).resolve().parents[5]
FILES = ROOT / "roles" / "stack" / "files"
MINOR = sys.version_info.minor
INSTALLER = (FILES / "installer.txt").read_text(encoding="utf-8")


def make_wheel(directory: Path, name: str, version: str, files: dict[str, bytes]) -> Path:
    """Write a wheel for any Python with these files."""
    info = f"{name}-{version}.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(data)}\n"
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = directory / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    return wheel


class Tiny:
    """A definition with one tiny package, and the directories of a host."""

    def __init__(self, base: Path, uv: Path) -> None:
        self.root = base / "sglang"
        self.store = self.root / "store"
        self.wheels = base / "wheels"
        self.wheels.mkdir()
        (self.wheels / uv.name).symlink_to(uv)
        self.data: dict[str, Any] = {}
        self.release("1.0")

    def release(self, version: str, files: dict[str, bytes] | None = None) -> Path:
        """Make a version of the package and define the stack by it."""
        body = f"VALUE = 'old'\nVERSION = {version!r}\n".encode()
        wheel = make_wheel(self.wheels, "tiny", version, {"tiny/__init__.py": body, **(files or {})})
        self.data = {
            "name": "tiny-stack",
            "kind": "engine",
            "python": [f"3.{MINOR}"],
            "machines": [os.uname().machine],
            "packages": 1,
            "disk_mib": 1,
            "download_mib": 1,
            "libraries": [{"soname": "libc.so.6", "deb": "libc6", "rpm": "glibc"}],
            "environment": {"TINY": "1"},
            "imports": [["tiny", "tiny"], ["tiny_stub.any", None]],
            "files": {"tiny_stub/__init__.py": "", "tiny_stub/any.py": "import os\nassert os.environ['TINY'] == '1'\n"},
            "patches": [{"path": "tiny/__init__.py", "reason": "a test", "replace": [{"before": "'old'", "after": "'new'"}]}],
            "lock": f"tiny=={version} --hash=sha256:{sha256(wheel)}\n",
            "installer": INSTALLER,
        }
        return wheel

    def changed(self, **keys: Any) -> dict[str, Any]:
        """Return the plain definition with keys replaced."""
        return {**copy.deepcopy(self.data), **keys}

    def options(self, **keys: Any) -> Options:
        """Return the options of a host that builds by itself, with some replaced."""
        options = Options(
            root=self.root,
            store=self.store,
            builds=True,
            builder="",
            builder_in_play=False,
            source=Source(self.wheels),
            python=sys.executable,
            keep=2,
            link=frozenset({"tiny-stack"}),
        )
        return replace(options, **keys)

    def build(self, data: dict[str, Any] | None = None, store: Path | None = None) -> Build:
        """Return a build of the definition."""
        definition = parse_definition(data or self.data)
        python, version = find_python(definition.pythons, sys.executable, "test")
        place = Place(store or self.store, definition.name, definition.content_id(version[1]))
        return Build(definition, place, python, version, Source(self.wheels))


@contextlib.contextmanager
def mounted(target: Path, *arguments: str) -> Iterator[Path]:
    """Have something mounted on a directory."""
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *arguments, str(target)], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
