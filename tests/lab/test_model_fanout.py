# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host fetches a model and passes it on to seven others over the fabric network, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from labkit import Lab, Labs

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.tests.unit.support import models

pytestmark = [pytest.mark.lab, pytest.mark.full]

SHARDS, SHARD_BYTES = 4, 8 << 20
SOURCE, OTHERS = "p0", ["p1", "p2", "p3", "d0", "d1", "d2", "d3"]
PLACE, BARE = "/opt/models/large", "/opt/bare-python"
#: What moves the pieces, by its text.
AGENT = "'import [l]ibtorrent'"
RECEIVED = "cat /sys/class/net/fab0/statistics/rx_bytes /sys/class/net/mgmt0/statistics/rx_bytes"


class Fleet(Lab):
    """Eight hosts with libtorrent, all of which see the directory that the model is fetched from."""

    def up(self) -> None:
        """Start the hosts; the image may have to be made."""
        given = {"lab_extra_packages": ["python3-libtorrent"], "lab_binds": [{"src": str(self.scratch / "origin"), "dst": "/srv/origin"}]}
        self.play(playbook="playbooks/lab_up.yml", variables=given, seconds=600).succeeded()


@pytest.fixture(name="fleet", scope="module")
def hosts_that_share(labs: Labs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet("testfanout", "4p4d", tmp_path_factory.mktemp("testfanout"))
    checksum = models.sums(models.write(fleet.scratch / "origin", SHARDS, SHARD_BYTES))
    labs.started(fleet)
    fleet.variables = {
        "sglang_model": {"path": PLACE, "name": "large", "source": "path", "checksum": checksum},
        "model_origin": {"type": "directory", "path": "/srv/origin"},
        "model_fanout": True,
        "model_poll_seconds": 1,
        "model_reserve_gib": 0,
    }
    yield fleet
    if not labs.keep:
        labs.take_down()


def received(fleet: Fleet, host: str) -> tuple[int, int]:
    """Return the bytes that came in so far over the fabric and over the management network."""
    fabric, management = fleet.ssh(host, RECEIVED).split()
    return int(fabric), int(management)


def whole(fleet: Fleet, host: str) -> bool:
    """Return whether a host has every byte of the model where engines look for it."""
    wanted = (fleet.scratch / "origin" / directory.SUMS).read_text(encoding="utf-8")
    return fleet.run(host, f"cd {PLACE} && sha256sum --check --strict --quiet -", wanted, seconds=120).returncode == 0


def test_seven_hosts_get_it_over_the_fabric(fleet: Fleet) -> None:
    predicted = fleet.play("--check", "--tags", "model").succeeded()
    before = {host: received(fleet, host) for host in OTHERS}
    run = fleet.play("--tags", "model").succeeded()
    fleet.record("fan-out to seven hosts", {"bytes": SHARDS * SHARD_BYTES, "seconds": round(run.seconds, 1)})
    after = {host: received(fleet, host) for host in OTHERS}
    assert set(run.changed) == set(predicted.changed) == {SOURCE, *OTHERS}
    for host in OTHERS:
        fabric, management = (now - then for now, then in zip(after[host], before[host]))
        assert fabric > SHARDS * SHARD_BYTES, host
        assert management < SHARDS * SHARD_BYTES // 4, host
    assert [host for host in (SOURCE, *OTHERS) if not whole(fleet, host)] == []


def test_a_second_run_changes_nothing(fleet: Fleet) -> None:
    assert fleet.play("--tags", "model").succeeded().changed == {}


def sharing(event: dict[str, Any]) -> bool:
    """Return whether a run has begun to wait for the distribution."""
    return bool(event["event"] == "task" and event["task"].endswith("Wait for it and show how far each host is"))


def test_hosts_and_a_controller_that_die_meanwhile(fleet: Fleet) -> None:
    lost, dies = ["p3", "d0", "d3"], "d0"
    for host in lost:
        fleet.ssh(host, f"rm -r {PLACE} /opt/models/.versions")
    # Slow enough to be in the middle of it.
    running = fleet.start("--tags", "model", variables={**fleet.variables, "model_fanout_mib_per_second": 2})
    running.until(sharing, 240)
    partial = "test -n \"$(find /opt/models/.versions/large/.partial -size +1M)\""
    fleet.ssh(dies, f"for _second in $(seq 60); do ! {partial} || exit 0; sleep 1; done; exit 1", seconds=90)
    fleet.ssh(dies, f"pkill --signal KILL --full {AGENT}")
    running.kill()
    for host in lost:
        if host != dies:
            fleet.ssh(host, f"pkill --signal KILL --full {AGENT}")
        assert fleet.run(host, f"test -e {PLACE}").returncode != 0, "what is not whole is not where engines look for it"
    run = fleet.play("--tags", "model").succeeded()
    assert set(run.changed) == set(lost)
    assert [host for host in (SOURCE, *OTHERS) if not whole(fleet, host)] == []


def test_a_damaged_shard_is_replaced_by_that_of_another_host(fleet: Fleet) -> None:
    shard = f"$(readlink -f {PLACE})/model-2.safetensors"
    fleet.ssh("d1", f"printf x | dd of={shard} bs=1 seek=5000 conv=notrunc status=none")
    assert not whole(fleet, "d1")
    run = fleet.play("--tags", "model").succeeded()
    assert set(run.changed) == {"d1"}
    assert whole(fleet, "d1")


def test_without_libtorrent_it_is_named_and_nothing_is_lost(fleet: Fleet) -> None:
    fleet.ssh("p2", f"rm -r {PLACE} /opt/models/.versions")
    # A Python that sees none of the system's packages.
    fleet.ssh("p2", f"printf '#!/bin/sh\\nexec python3 -I -S \"$@\"\\n' > {BARE} && chmod 755 {BARE}")
    for host in (SOURCE, *OTHERS):
        fleet.ssh(host, f"test -e {BARE} || ln -s /usr/bin/python3 {BARE}")
    text = fleet.play("--tags", "model", variables={**fleet.variables, "model_fanout_python": BARE}).refused()
    assert "install python3-libtorrent (Debian, Ubuntu)" in text
    assert fleet.run("p2", f"test -e {PLACE}").returncode != 0
    assert whole(fleet, SOURCE)
    assert set(fleet.play("--tags", "model").succeeded().changed) == {"p2"}
    assert whole(fleet, "p2")
