# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a decode host reaches bootstrap servers: real servers and ports of this machine."""

from __future__ import annotations

import socket

import pytest
from ansible.module_utils.urls import open_url

from ansible_collections.railyard.sglang.plugins.module_utils.serving import lookup
from ansible_collections.railyard.sglang.tests.unit.support.servers import serving


def test_each_server_is_asked_until_it_answers_whatever_the_number_of_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "SECONDS", 0.5)
    well, ill = {"/health": (200, b"OK")}, {"/health": (503, b"")}
    with serving(well) as one, serving(ill) as other, serving({"/health": (0, b"")}) as mute, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        urls = [one.url, other.url, mute.url, f"http://127.0.0.1:{nobody.getsockname()[1]}"]
        servers = [{"instance": f"prefill-{index}", "url": url} for index, url in enumerate(urls)]
        rows = lookup.look(open_url, [{"bootstraps": servers}, {"bootstraps": servers}, {"bootstraps": []}, {}])
        assert [len(server.asked) for server in (one, other, mute)] == [1, 2, 2]
    assert [row["instance"] for row in rows] == ["prefill-0", "prefill-1", "prefill-2", "prefill-3"]
    assert [row["problem"] for row in rows] == ["", "it answers 503", "timed out", "refused"]


def test_a_host_without_decode_asks_nobody() -> None:
    assert lookup.look(open_url, [{"bootstraps": []}]) == []
