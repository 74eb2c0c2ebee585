# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster is broken on purpose: the proof fails in time, the doctor names the cause first, and nothing any more once it is mended."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from causekit import MENDED_SECONDS, added, address, diagnosis, filtered, healthy, now, refusal, started_as
from labkit import Lab

pytestmark = pytest.mark.lab

WEIGHTS = "/opt/models/tiny/model.safetensors"


@dataclass(frozen=True)
class Cause:
    """One way to break a cluster.

    :ivar broken: does it, and mends it afterwards.
    :ivar finding: the doctor's first finding.
    :ivar host: that it is on.
    :ivar proof: a pattern of what the proof says.
    """

    broken: Callable[[Lab], AbstractContextManager[None]]
    finding: str
    host: str
    proof: str


@contextmanager
def two_networks(lab: Lab) -> Iterator[None]:
    """Ranks register at the management address, where no bootstrap server listens: all /health are 200, requests end in 500."""
    rank = lab.rank("prefill-0", 0)
    with started_as(lab, rank, added("--dist-init-addr", f"{address(lab, rank['host'], 'mgmt0')}:5000")):
        healthy(lab, rank)
        yield


@contextmanager
def another_bootstrap_port(lab: Lab) -> Iterator[None]:
    rank = lab.rank("prefill-0", 0)
    with started_as(lab, rank, added("--disaggregation-bootstrap-port", "8999")):
        healthy(lab, rank)
        yield


@contextmanager
def another_page_size(lab: Lab) -> Iterator[None]:
    """On CPUs SGLang 0.5.8 allocates larger pages with Triton, which is not there: the engine ends besides."""
    with started_as(lab, lab.rank("decode-0", 0), added("--page-size", "16")):
        yield


@contextmanager
def proxy_in_the_environment(lab: Lab) -> Iterator[None]:
    """A proxy that nobody reaches, as a login profile sets it."""
    rank = lab.rank("prefill-0", 0)
    with started_as(lab, rank, environment={"http_proxy": f"http://{address(lab, 'r0', 'fab0')}:3128"}):
        healthy(lab, rank)
        yield


@contextmanager
def address_of_the_name(lab: Lab) -> Iterator[None]:
    """Without a default route SGLang takes what the host's name resolves to, which is an address of the management."""
    rank = lab.rank("decode-0", 0)
    with started_as(lab, rank, lines=("UnsetEnvironment=SGLANG_HOST_IP",)):
        healthy(lab, rank)
        yield


@contextmanager
def no_address_at_all(lab: Lab) -> Iterator[None]:
    lines = ("UnsetEnvironment=SGLANG_HOST_IP", "BindReadOnlyPaths=/dev/null:/etc/hosts")
    with started_as(lab, lab.rank("decode-0", 0), lines=lines):
        yield


@contextmanager
def loopback_as_address(lab: Lab) -> Iterator[None]:
    rank = lab.rank("decode-0", 0)
    with started_as(lab, rank, environment={"SGLANG_HOST_IP": "127.0.0.1"}):
        healthy(lab, rank)
        yield


@contextmanager
def bootstrap_port_filtered(lab: Lab) -> Iterator[None]:
    with filtered(lab, "p0", f"ip saddr {address(lab, 'd0', 'fab0')} tcp dport 8998"):
        yield


@contextmanager
def transfer_ports_filtered(lab: Lab) -> Iterator[None]:
    with filtered(lab, "d0", f"ip saddr {address(lab, 'p0', 'fab0')} tcp dport 15000-17000"):
        yield


@contextmanager
def queue_ports_filtered(lab: Lab) -> Iterator[None]:
    with filtered(lab, "p0", f"ip saddr {address(lab, 'd0', 'fab0')} tcp dport 32768-60999"):
        yield


@contextmanager
def rank_killed(lab: Lab) -> Iterator[None]:
    rank = lab.rank("decode-0", 0)
    with started_as(lab, rank, lines=("Restart=no",)):
        healthy(lab, rank)
        lab.ssh(rank["host"], f"systemctl kill --kill-whom=main --signal=KILL {rank['unit']}")
        yield


@contextmanager
def rank_that_hangs(lab: Lab) -> Iterator[None]:
    rank = lab.rank("decode-0", 0)
    pids = " ".join(str(pid) for pid in lab.pids(rank["host"], rank["unit"]))
    lab.ssh(rank["host"], f"kill -STOP {pids}")
    try:
        yield
    finally:
        lab.ssh(rank["host"], f"kill -CONT {pids}")


@contextmanager
def model_cut_short(lab: Lab) -> Iterator[None]:
    rank = lab.rank("decode-0", 0)
    lab.ssh(rank["host"], f"cp -a {WEIGHTS} {WEIGHTS}.whole && truncate --size -1000 {WEIGHTS} && systemctl restart {rank['unit']}")
    try:
        yield
    finally:
        lab.ssh(rank["host"], f"mv {WEIGHTS}.whole {WEIGHTS} && systemctl restart {rank['unit']}")


@contextmanager
def library_missing(lab: Lab) -> Iterator[None]:
    rank = lab.rank("decode-0", 0)
    found = lab.ssh(rank["host"], "readlink -f /usr/lib/*/libnuma.so.1")
    lab.ssh(rank["host"], f"mv {found} {found}.away && systemctl restart {rank['unit']}")
    try:
        yield
    finally:
        lab.ssh(rank["host"], f"mv {found}.away {found} && systemctl restart {rank['unit']}")


@contextmanager
def disk_full(lab: Lab) -> Iterator[None]:
    """A disk for temporary files on which nothing is left."""
    rank = lab.rank("decode-0", 0)
    place = "/run/cause-disk"
    lab.ssh(rank["host"], f"mkdir {place} && mount -t tmpfs -o size=4k,mode=1777 tmpfs {place} && head -c 4096 /dev/zero > {place}/full")
    try:
        with started_as(lab, rank, lines=(f"BindPaths={place}:/tmp", f"BindPaths={place}:/var/cache/sglang")):
            yield
    finally:
        lab.ssh(rank["host"], f"umount {place} && rmdir {place}")


CAUSES = {
    "two networks": Cause(two_networks, "L01", "p0", r"engine rank 0 is not registered \(500\)"),
    "another bootstrap port": Cause(another_bootstrap_port, "L04", "r0", r"engine rank 0 is not registered \(refused\)"),
    "another page size": Cause(another_page_size, "L05", "d0", r"page.size"),
    "proxy in the environment": Cause(proxy_in_the_environment, "L28", "p0", r"engine rank 0 is not registered"),
    "address of the name": Cause(address_of_the_name, "L56", "d0", r"transport: decode-0 received .* it went another way"),
    "no address at all": Cause(no_address_at_all, "L35", "d0", r"decode-0"),
    "loopback as address": Cause(loopback_as_address, "L12", "d0", r"decode-0"),
    "bootstrap port filtered": Cause(bootstrap_port_filtered, "L57", "p0", r"prefill-0 > decode-0"),
    "transfer ports filtered": Cause(transfer_ports_filtered, "L57", "d0", r"decode-0"),
    "queue ports filtered": Cause(queue_ports_filtered, "L57", "p0", r"prefill-0 > decode-0"),
    "rank killed": Cause(rank_killed, "L20", "d0", r"decode-0"),
    "rank that hangs": Cause(rank_that_hangs, "L58", "d0", r"decode-0 rank 0 on d0 is hanging"),
    "model cut short": Cause(model_cut_short, "L26", "d0", r"decode-0"),
    "library missing": Cause(library_missing, "L27", "d0", r"decode-0"),
    "disk full": Cause(disk_full, "L29", "d0", r"decode-0"),
}
#: The others are for the long run.
SHORT = {"two networks", "model cut short"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in SHORT else pytest.mark.full) for name in CAUSES])
def test_it_is_told_and_nothing_is_once_it_is_mended(name: str, pair: Lab, tmp_path: Path) -> None:
    cause = CAUSES[name]
    since = now()
    with cause.broken(pair):
        text = refusal(pair)
        found = diagnosis(pair, since, tmp_path / "broken")
    pair.serving(MENDED_SECONDS)
    since = now()
    pair.play("--tags", "verify", seconds=240).succeeded()
    after = diagnosis(pair, since, tmp_path / "mended")
    assert re.search(cause.proof, text), text
    first = found["findings"][0]
    assert (found["first"], first["host"]) == (cause.finding, cause.host), [(row["id"], row["host"]) for row in found["findings"]]
    assert after["verdict"] == "clean", after["findings"]
