# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a backend can register GPU memory on a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.registration import judge, version
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import MI300X, Host


def host(
    *, loaded: bool = False, file: bool | None = False, api: bool | None = False, kernel: bool | None = True,
    is_open: bool | None = False,
    p2pdma: bool | None = None, move_notify: bool | None = None,
) -> dict[str, Any]:
    """Return the facts of a host."""
    return {"system": {
        "peermem": {"loaded": loaded, "file_present": file, "api_in_kernel": api},
        "dmabuf": {"kernel_ok": kernel, "open": is_open, "p2pdma": p2pdma, "move_notify": move_notify},
    }}


PEERMEM = host(loaded=True, file=True, api=True)
LOADABLE = host(file=True, api=True)
BOTH = host(loaded=True, file=True, api=True, is_open=True)
LOADABLE_OR_DMABUF = host(file=True, api=True, is_open=True)
INBOX = host(file=True, api=False)
DMABUF = host(is_open=True)
DMABUF_UNSURE = host(file=True, api=None, is_open=True)
NEITHER = host()
OLD = host(kernel=False, is_open=True)
UNREAD = host(file=None, api=None, kernel=None, is_open=None)
NONE: dict[str, Any] = {}
AMD = host(is_open=None, p2pdma=True, move_notify=True)
AMD_OFED = host(api=True, is_open=None, p2pdma=False, move_notify=False)
AMD_DEBIAN = host(is_open=None, p2pdma=False, move_notify=False)

# Facts, backend, device, version of Mooncake; verdict, way, value of WITH_NVIDIA_PEERMEM, something to load.
Case = tuple[dict[str, Any], str, str, str, Optional[bool], Optional[str], Optional[str], bool]
CASES: list[Case] = [
    (PEERMEM, "mooncake", "cuda", "0.3.8.post1", True, "peermem", None, False),
    (PEERMEM, "mooncake", "cuda", "0.3.10", True, "peermem", None, False),
    (PEERMEM, "mooncake", "cuda", "0.3.11", True, "peermem", "1", False),
    (PEERMEM, "mooncake", "cuda", "0.3.13.post1", True, "peermem", "1", False),
    (PEERMEM, "mooncake", "cuda", "", True, "peermem", "1", False),
    (BOTH, "mooncake", "cuda", "0.3.13.post1", True, "peermem", "1", False),
    (LOADABLE, "mooncake", "cuda", "0.3.8.post1", True, "peermem", None, True),
    (LOADABLE, "mooncake", "cuda", "0.3.13.post1", True, "peermem", "1", True),
    (LOADABLE_OR_DMABUF, "mooncake", "cuda", "0.3.10", True, "peermem", None, True),
    (LOADABLE_OR_DMABUF, "mooncake", "cuda", "0.3.13.post1", True, "peermem", "1", True),
    (DMABUF, "mooncake", "cuda", "0.3.11", True, "dmabuf", "0", False),
    (DMABUF, "mooncake", "cuda", "0.3.11.post1", True, "dmabuf", "0", False),
    (DMABUF, "mooncake", "cuda", "0.4.0", True, "dmabuf", "0", False),
    (DMABUF, "mooncake", "cuda", "0.3.10.post2", False, None, None, False),
    (DMABUF, "mooncake", "cuda", "", None, None, None, False),
    (DMABUF_UNSURE, "mooncake", "cuda", "0.3.8", None, None, None, False),
    (INBOX, "mooncake", "cuda", "0.3.8.post1", False, None, None, False),
    (INBOX, "mooncake", "cuda", "0.3.13.post1", False, None, None, False),
    (NEITHER, "mooncake", "cuda", "0.3.13.post1", False, None, None, False),
    (OLD, "mooncake", "cuda", "0.3.13.post1", False, None, None, False),
    (UNREAD, "mooncake", "cuda", "0.3.13.post1", None, None, None, False),
    (NONE, "mooncake", "cuda", "0.3.13.post1", None, None, None, False),
    (PEERMEM, "nixl", "cuda", "", True, "peermem", None, False),
    (DMABUF, "nixl", "cuda", "", True, "dmabuf", None, False),
    (LOADABLE, "nixl", "cuda", "", True, "peermem", None, True),
    (NEITHER, "nixl", "cuda", "", False, None, None, False),
    (UNREAD, "nixl", "cuda", "", None, None, None, False),
    (AMD, "mooncake", "rocm", "0.3.13.post1", True, "dmabuf", None, False),
    (AMD_OFED, "mooncake", "rocm", "0.3.13.post1", True, "peermem", None, False),
    (AMD_DEBIAN, "mooncake", "rocm", "0.3.13.post1", False, None, None, False),
    (AMD_DEBIAN, "nixl", "rocm", "", False, None, None, False),
    (NEITHER, "mooncake", "cpu", "", True, "host memory", None, False),
    (NEITHER, "mooncake_tcp", "cuda", "", True, "host memory", None, False),
    (PEERMEM, "mori", "rocm", "", None, None, None, False),
]


@pytest.mark.parametrize(("facts", "backend", "device", "mooncake", "ok", "way", "switch", "load"), CASES)
def test_verdict(
    *, facts: dict[str, Any], backend: str, device: str, mooncake: str, ok: bool | None, way: str | None, switch: str | None, load: bool
) -> None:
    found = judge(facts, backend, device, mooncake)
    assert (found["ok"], found["way"]) == (ok, way)
    assert found["environment"] == ({"WITH_NVIDIA_PEERMEM": switch} if switch else {})
    assert found["needs"] == (["load nvidia_peermem, now and at boot"] if load else [])
    assert found["why"]
    # A refusal says what to do instead.
    assert ok is not False or found["alternative"]


@pytest.mark.parametrize(
    ("facts", "backend", "device", "mooncake", "why", "alternative"),
    [
        (INBOX, "mooncake", "cuda", "0.3.13", "ib_core has no peer memory interface", "DOCA-OFED with nvidia_peermem"),
        (NEITHER, "mooncake", "cuda", "0.3.13", "no nvidia_peermem module for this kernel", "open NVIDIA driver on a kernel from 5.12 on"),
        (NEITHER, "nixl", "cuda", "", "proprietary one, which exports no DMA-BUF", "Mooncake over TCP (MC_FORCE_TCP=1)"),
        (OLD, "nixl", "cuda", "", "older than 5.12", "MC_FORCE_TCP=1"),
        (DMABUF, "mooncake", "cuda", "0.3.8.post1", "built for nvidia_peermem",
         "from 0.3.11 on with WITH_NVIDIA_PEERMEM=0, or the nixl backend"),
        (AMD_DEBIAN, "mooncake", "rocm", "0.3.13", "built without CONFIG_PCI_P2PDMA; kernel built without CONFIG_DMABUF_MOVE_NOTIFY",
         "a kernel with CONFIG_PCI_P2PDMA=y"),
        (UNREAD, "mooncake", "cuda", "0.3.13", "not known", "MC_FORCE_TCP"),
    ],
)
def test_reason_and_alternative(*, facts: dict[str, Any], backend: str, device: str, mooncake: str, why: str, alternative: str) -> None:
    found = judge(facts, backend, device, mooncake)
    assert why in found["why"]
    assert alternative in found["alternative"]


@pytest.mark.parametrize(
    ("facts", "mooncake", "environment", "ok", "way"),
    [
        (BOTH, "0.3.13", {"WITH_NVIDIA_PEERMEM": "0"}, True, "dmabuf"),
        (BOTH, "0.3.13", {"WITH_NVIDIA_PEERMEM": "1"}, True, "peermem"),
        (PEERMEM, "0.3.13", {"WITH_NVIDIA_PEERMEM": "0"}, False, None),
        (DMABUF, "0.3.13", {"WITH_NVIDIA_PEERMEM": "1"}, False, None),
        # It did not exist then, and has no effect.
        (PEERMEM, "0.3.8.post1", {"WITH_NVIDIA_PEERMEM": "0"}, True, "peermem"),
        (NEITHER, "0.3.13", {"MC_FORCE_TCP": "1"}, True, "host memory"),
        (NEITHER, "0.3.13", {"MC_FORCE_TCP": "0"}, True, "host memory"),
    ],
)
def test_operators_environment(facts: dict[str, Any], mooncake: str, environment: dict[str, str], ok: bool, way: str | None) -> None:
    found = judge(facts, "mooncake", "cuda", mooncake, environment)
    assert (found["ok"], found["way"]) == (ok, way)
    assert ok or "MC_FORCE_TCP" in environment or "WITH_NVIDIA_PEERMEM is set to" in found["why"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.3.11", (0, 3, 11, 0)), ("0.3.8.post1", (0, 3, 8, 1)), ("0.3.13.post1+cu13", (0, 3, 13, 1)), ("", None), (None, None), ("x", None)],
)
def test_version(text: str | None, expected: tuple[int, ...] | None) -> None:
    assert version(text) == expected


@pytest.mark.parametrize(
    ("symbols", "config", "ok", "way"),
    [
        ("0 T ib_register_peer_memory_client\t[ib_core]", "", True, "peermem"),
        ("0 T ib_register_client\t[ib_core]", "CONFIG_PCI_P2PDMA=y\nCONFIG_DMABUF_MOVE_NOTIFY=y", True, "dmabuf"),
        ("0 T ib_register_client\t[ib_core]", "# CONFIG_PCI_P2PDMA is not set", False, None),
        (None, "# CONFIG_PCI_P2PDMA is not set", None, None),
    ],
    ids=["peer memory", "DMA-BUF", "neither", "symbols unreadable"],
)
@pytest.mark.parametrize("backend", ["mooncake", "nixl"])
def test_a_host_of_amd(*, tmp_path: Path, backend: str, symbols: str | None, config: str, ok: bool | None, way: str | None) -> None:
    host = Host(tmp_path)
    host.gpu("17:01.0 18:00.0", 0, driver="amdgpu", **MI300X)
    host.files("", {
        "/sys/module/amdgpu/version": "6.8.5", "/proc/sys/kernel/osrelease": "6.1.0", "/boot/config-6.1.0": config,
        "/proc/kallsyms": symbols,
    })
    found = judge(host.facts(), backend, "rocm", "0.3.13")
    assert (found["ok"], found["way"]) == (ok, way)
    assert ok is not False or "no peer memory interface; kernel built without CONFIG_PCI_P2PDMA" in found["why"]
