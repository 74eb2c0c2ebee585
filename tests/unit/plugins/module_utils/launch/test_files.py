# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that arguments and environment name."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.launch import files
from ansible_collections.railyard.sglang.tests.unit.support.clusters import FILES, cluster, options


def planned(changes: dict[str, Any], host: str = "p0") -> dict[str, Any]:
    return cluster().change(changes).plan()["hosts"][host]["ranks"][0]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"content": "any text\n"}, "any text\n"),
        ({"content": {"b": [1], "a": None}}, '{\n "a": null,\n "b": [\n  1\n ]\n}\n'),
        ({"content": ["x"]}, '[\n "x"\n]\n'),
        ({"src": "/controller/deepep.json"}, FILES["/controller/deepep.json"].decode()),
    ],
)
def test_text(entry: dict[str, Any], text: str) -> None:
    (file,) = planned({"sglang_files": {"d/x.json": entry}})["files"]
    assert file == {
        "path": "/etc/sglang/prefill-0/d/x.json",
        "content": text,
        "encoding": "text",
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def test_what_is_no_text_travels_as_base64() -> None:
    (file,) = planned({"sglang_files": {"map.pt": {"src": "/controller/map.pt"}}})["files"]
    content = FILES["/controller/map.pt"]
    assert (file["encoding"], base64.b64decode(file["content"])) == ("base64", content)
    assert file["sha256"] == hashlib.sha256(content).hexdigest()


def test_all_ranks_hold_the_same_bytes() -> None:
    changes = {"sglang_files": {"x": {"content": "1"}}}
    assert planned(changes, "p0")["files"] == planned(changes, "p1")["files"]


def test_a_later_layer_replaces_a_file() -> None:
    changes = {"sglang_files": {"x": {"content": "1"}, "y": {"content": "1"}}, "sglang_pools.prefill.files": {"x": {"content": "2"}}}
    assert [(row["path"][-1], row["content"]) for row in planned(changes)["files"]] == [("x", "2"), ("y", "1")]
    assert [row["content"] for row in planned(changes, "d0")["files"]] == ["1", "1"]


def test_files_of_the_router() -> None:
    changes = {
        "sglang_router.files": {"mcp.yaml": {"content": "a: 1\n"}, "tls/ca.pem": {"content": "x"}, "tls/more.pem": {"content": "y"}},
        "sglang_router.args": {
            "mcp-config-path": {"file": "mcp.yaml"},
            "ca-cert-paths": [{"file": "tls/ca.pem"}, {"file": "tls/more.pem"}],
        },
        "sglang_router.env": {"SSL_CERT_DIR": {"file": "tls"}},
    }
    router = cluster().change(changes).plan()["hosts"]["r0"]["router"]
    assert [row["path"] for row in router["files"]] == [f"/etc/sglang/router/{name}" for name in ("mcp.yaml", "tls/ca.pem", "tls/more.pem")]
    given = options(router["argv"][2:])
    assert given["--mcp-config-path"] == ["/etc/sglang/router/mcp.yaml"]
    assert given["--ca-cert-paths"] == ["/etc/sglang/router/tls/ca.pem", "/etc/sglang/router/tls/more.pem"]
    assert router["environment"]["SSL_CERT_DIR"] == "/etc/sglang/router/tls"
    changed = cluster().change({**changes, "sglang_router.files": {**changes["sglang_router.files"], "tls/ca.pem": {"content": "z"}}})
    assert changed.plan()["hosts"]["r0"]["router"]["digest"] != router["digest"]


@pytest.mark.parametrize(
    ("reference", "path"),
    [("x.json", "x.json"), ("./x.json", "x.json"), ("d/y.json", "d/y.json"), ("d", "d"), (".", "")],
)
def test_reference(reference: str, path: str) -> None:
    changes = {
        "sglang_files": {"x.json": {"content": ""}, "d/y.json": {"content": ""}},
        "sglang_args.deepep-config": {"file": reference},
        "sglang_env.SGLANG_MOE_CONFIG_DIR": {"file": reference},
    }
    wanted = "/etc/sglang/prefill-0/" + path
    rank = planned(changes)
    assert rank["arguments"]["deepep-config"] == wanted.rstrip("/")
    assert rank["environment"]["SGLANG_MOE_CONFIG_DIR"] == wanted.rstrip("/")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("/root/x.json", True),
        ("./x.jinja", True),
        ("x.pt", True),
        ("maps/x", True),
        ("trivial", False),
        ("mlx5_0,mlx5_1", False),
        ('{"a": "/b"}', False),
        (' ["/b.json"]', False),
        ("", False),
        (7, False),
        (None, False),
    ],
)
def test_what_is_a_path(value: Any, path: bool) -> None:
    assert files.is_path(value) is path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("init-expert-location", "trivial"),
        ("chat-template", "chatml"),
        ("disaggregation-ib-device", "mlx5_0,mlx5_1"),
        ("deepep-config", {"normal_dispatch": {"num_sms": 96}}),
        ("deepep-config", '{"normal_dispatch": {}}'),
    ],
)
def test_what_is_no_path_is_taken(name: str, value: Any) -> None:
    assert not cluster().change({f"sglang_args.{name}": value}).findings()
