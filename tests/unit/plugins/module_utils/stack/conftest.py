# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of stacks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import Fetch, fetch
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import parse_lock
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import local_target, sha256
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import INSTALLER, MINOR, Tiny


@pytest.fixture(scope="session")
def uv_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The locked wheel of uv, from the cache; it is fetched into the cache if it is not there."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "railyard-sglang"
    cache = Path(os.environ.get("RAILYARD_CACHE") or default)
    pins = parse_lock(INSTALLER, "installer", 1)
    for candidate in [*cache.glob("wheels/uv-*.whl"), *cache.glob("test/uv-*.whl")]:
        if sha256(candidate) in pins["uv"].hashes:
            return candidate
    directory = tmp_path_factory.mktemp("uv")
    fetch(Fetch(directory, pins, local_target(MINOR)), "test")
    (found,) = directory.glob("uv-*.whl")
    kept = cache / "test" / found.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(found, kept.with_suffix(f".{os.getpid()}"))
    os.replace(kept.with_suffix(f".{os.getpid()}"), kept)
    return kept


@pytest.fixture
def tiny(tmp_path: Path, uv_wheel: Path) -> Tiny:
    """A tiny stack."""
    return Tiny(tmp_path, uv_wheel)


@pytest.fixture
def pip_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give pip the configuration of the test and no other."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)

    def configure(**settings: object) -> None:
        lines = [f"{name.replace('_', '-')} = {value}\n" for name, value in settings.items()]
        (tmp_path / "pip.conf").write_text("[global]\n" + "".join(lines), encoding="utf-8")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))

    return configure
