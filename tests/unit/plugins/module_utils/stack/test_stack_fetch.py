# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling a wheel directory with the real pip, from a directory of wheels, and what goes wrong with an index."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.stack import fetch as fetching
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError
from ansible_collections.railyard.sglang.plugins.module_utils.stack.fetch import (
    Fetch,
    explain,
    fetch,
    fetch_all,
    find_pip,
    inspect_all,
    target_arguments,
)
from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import Pin
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import Target, local_target, sha256
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.stack.tiny_stack import MINOR, make_wheel, mounted, needs_root

NAMES = ("alpha", "beta", "gamma")


@pytest.fixture
def request_(tmp_path: Path, pip_configuration: Callable[..., None]) -> Fetch:
    """A request for three wheels, which pip finds by its own configuration in a directory."""
    links = tmp_path / "links"
    links.mkdir()
    pins = {}
    for name in NAMES:
        wheel = make_wheel(links, name, "1.0", {f"{name}.py": bytes(3 << 20)})
        pins[name] = Pin(name, "1.0", frozenset({sha256(wheel)}))
    pip_configuration(no_index="true", find_links=links)
    return Fetch(tmp_path / "wheels", pins, local_target(MINOR), parallel=2)


def wheel(name: str) -> str:
    return f"{name}-1.0-py3-none-any.whl"


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != ".lock")


def test_fetch_and_fetch_again(request_: Fetch) -> None:
    assert inspect_all([request_]).missing == [f"{name}==1.0" for name in NAMES]
    assert fetch(request_, "test") == [wheel(name) for name in NAMES]
    assert files(request_.directory) == [*(wheel(name) for name in NAMES), "wheels.json"]
    manifest = json.loads((request_.directory / "wheels.json").read_text(encoding="utf-8"))
    assert sorted(manifest["files"]) == [wheel(name) for name in NAMES]
    stamp = (request_.directory / "wheels.json").stat().st_mtime_ns
    assert fetch(request_, "test") == []
    assert (request_.directory / "wheels.json").stat().st_mtime_ns == stamp


def test_interrupted_run_is_resumed(request_: Fetch, tmp_path: Path) -> None:
    partial = request_.directory / ".partial-7"
    partial.mkdir(parents=True)
    (tmp_path / "links" / wheel("alpha")).rename(partial / wheel("alpha"))
    (partial / wheel("beta")).write_bytes((tmp_path / "links" / wheel("beta")).read_bytes()[:1000])
    assert inspect_all([request_]).leftover is True
    assert fetch(request_, "test") == [wheel(name) for name in NAMES]
    assert files(request_.directory) == [*(wheel(name) for name in NAMES), "wheels.json"]


def test_corrupted_file_is_replaced_by_verify(request_: Fetch) -> None:
    fetch(request_, "test")
    path = request_.directory / wheel("beta")
    content = bytearray(path.read_bytes())
    content[99] ^= 1
    path.write_bytes(content)
    assert inspect_all([request_]).missing == []
    verify = replace(request_, verify=True)
    assert inspect_all([verify]).missing == ["beta==1.0"]
    assert fetch(verify, "test") == [wheel("beta")]
    assert sha256(path) in request_.pins["beta"].hashes


def test_cut_off_file_is_replaced(request_: Fetch) -> None:
    fetch(request_, "test")
    path = request_.directory / wheel("gamma")
    path.write_bytes(path.read_bytes()[:-1])
    assert fetch(request_, "test") == [wheel("gamma")]


def test_two_stacks_with_one_directory(request_: Fetch) -> None:
    first = replace(request_, pins={name: request_.pins[name] for name in ("alpha", "beta")})
    second = replace(request_, pins={name: request_.pins[name] for name in ("beta", "gamma")})
    assert fetch_all([first, second], "test") == [wheel(name) for name in NAMES]
    assert inspect_all([first, second]).missing == []
    assert len(inspect_all([first, second]).entries) == 3


def test_what_came_is_kept_when_another_is_missing(request_: Fetch, tmp_path: Path) -> None:
    (tmp_path / "links" / wheel("beta")).unlink()
    with pytest.raises(StackError, match=r"no index that pip knows has a wheel of beta==1.0 for Python .*wheels_index"):
        fetch(request_, "test")
    assert wheel("beta") not in files(request_.directory)
    assert inspect_all([request_]).missing
    assert not inspect_all([request_]).leftover


def test_exchanged_file_is_refused(request_: Fetch, tmp_path: Path) -> None:
    make_wheel(tmp_path / "links", "beta", "1.0", {"beta.py": b"evil\n"})
    with pytest.raises(StackError, match=r"the index gives beta==1.0 .*sha256 which is not the locked one"):
        fetch(request_, "test")
    assert wheel("beta") not in files(request_.directory)


def test_unreachable_index_is_named(request_: Fetch, pip_configuration: Callable[..., None]) -> None:
    pip_configuration(index_url="http://127.0.0.1:9/simple", retries=1)
    with pytest.raises(StackError, match=r"the package index cannot be reached .*Connection refused.*pip config list"):
        fetch(request_, "test")


@needs_root
def test_full_disk_is_named(request_: Fetch, tmp_path: Path) -> None:
    pins = {}
    for name in NAMES:
        file = make_wheel(tmp_path / "links", name, "1.0", {f"{name}.bin": os.urandom(3 << 20)})
        pins[name] = Pin(name, "1.0", frozenset({sha256(file)}))
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as small:
        with pytest.raises(StackError, match=rf"{small} became full while wheels were fetched"):
            fetch(replace(request_, directory=small, pins=pins), "test")
        assert not inspect_all([replace(request_, directory=small)]).leftover


@pytest.mark.parametrize("python", ["/bin/false", "/nonexistent/python3", "/etc/passwd"])
def test_pip_is_found_beside_a_python_without(python: str) -> None:
    assert find_pip(sys.executable, "test")[1:] == ["-m", "pip"]
    assert find_pip(python, "test")[0] != python


def test_a_run_that_fails_keeps_the_wheels_of_the_pips_before(request_: Fetch, tmp_path: Path) -> None:
    names = [f"n{number}" for number in range(6)]
    for name in names:
        file = make_wheel(tmp_path / "links", name, "1.0", {f"{name}.py": b""})
        request_ = replace(request_, pins={**request_.pins, name: Pin(name, "1.0", frozenset({sha256(file)}))})
    (tmp_path / "links" / wheel("n5")).unlink()
    with pytest.raises(StackError, match=r"no index that pip knows has a wheel of n5==1.0"):
        fetch(replace(request_, parallel=1), "test")
    # Nine wheels in batches of four: what the last batch has is missing, whatever the order in it.
    assert len([name for name in files(request_.directory) if name.endswith(".whl")]) == 8


class Asked(http.server.SimpleHTTPRequestHandler):
    """An index that asks for a password, notes command lines while it is asked, and may stop in the middle of a wheel."""

    lines: list[str]
    stops: threading.Event

    def log_request(self, *_words: object) -> None:
        """Say nothing of what is asked for."""

    def do_GET(self) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                self.lines.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
        if self.headers.get("Authorization") == "Basic " + base64.b64encode(b"someone:qX7-secret").decode():
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        if self.path.endswith(".whl") and not self.stops.is_set():
            outputfile.write(content[: len(content) // 2])
            outputfile.flush()
            self.stops.wait(120)
        else:
            outputfile.write(content)


@pytest.fixture
def asked(request_: Fetch, tmp_path: Path, pip_configuration: Callable[..., None]) -> Iterator[tuple[Fetch, type[Asked]]]:
    """A request to that index."""
    for name in NAMES:
        place = tmp_path / "index" / name
        place.mkdir(parents=True)
        (tmp_path / "links" / wheel(name)).rename(place / wheel(name))
        (place / "index.html").write_text(f'<a href="{wheel(name)}">{wheel(name)}</a>', encoding="utf-8")
    handler = type("Own", (Asked,), {"lines": [], "stops": threading.Event()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(tmp_path / "index"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        # Its own configuration of pip knows an empty index, as one without network.
        (tmp_path / "empty").mkdir()
        pip_configuration(index_url=(tmp_path / "empty").as_uri(), trusted_host="127.0.0.1", timeout=600)
        yield replace(request_, index=f"http://someone:qX7-secret@127.0.0.1:{server.server_port}"), handler
        handler.stops.set()
        server.shutdown()
        thread.join()


def test_a_password_of_the_index_is_on_no_command_line(asked: tuple[Fetch, type[Asked]]) -> None:
    request, handler = asked
    handler.stops.set()
    assert fetch(request, "test") == [wheel(name) for name in NAMES]
    assert any("pip download" in line for line in handler.lines)
    assert not [line for line in handler.lines if "qX7-secret" in line]
    assert not [path for path in request.directory.iterdir() if b"qX7-secret" in path.read_bytes()]


def test_an_index_that_stops_answering_is_named_and_what_came_is_kept(
    asked: tuple[Fetch, type[Asked]], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, handler = asked
    monkeypatch.setattr(fetching, "STALL_SECONDS", 15)
    with pytest.raises(StackError, match=r"too slow or has stopped answering: nothing has arrived for 15 s: .*Fix: .*run again"):
        fetch(request, "test")
    handler.stops.set()
    assert fetch(request, "test") == [wheel(name) for name in NAMES]


def test_target_arguments() -> None:
    assert target_arguments(local_target(MINOR), MINOR) == []
    words = " ".join(target_arguments(Target(12, "x86_64", (2, 28)), 11))
    assert words.startswith("--python-version 3.12 --implementation cp --abi cp312 --abi abi3 --abi none")
    assert "manylinux_2_28_x86_64" in words
    assert "manylinux_2_17_x86_64" in words
    assert "manylinux_2_29" not in words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "became full"),
        ("WARNING: Retrying after connection broken by 'NewConnectionError(x)': /a/", "cannot be reached"),
        ("ERROR: No matching distribution found for torch==2.13.0+cpu", r"has a wheel of torch==2.13.0\+cpu"),
        ("something else", "pip download failed: something else"),
    ],
)
def test_explain(request_: Fetch, text: str, expected: str) -> None:
    with pytest.raises(StackError, match=expected):
        raise explain(text, request_, "test")
