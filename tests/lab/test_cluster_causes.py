# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster is broken on purpose: the proof fails in time, the doctor names the cause first, and nothing any more once it is mended."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from causekit import MENDED_SECONDS, added, address, diagnosis, filtered, healthy, now, refusal, started_as, told
from labkit import Lab, wait_until

pytestmark = pytest.mark.lab

#: What is connected before the kernel begins to track connections would be new to it.
TRACKED = "table inet known {\n  chain in { type filter hook input priority -1; ct state established accept; }\n}\n"
WEIGHTS = "/opt/models/tiny/model.safetensors"


@dataclass(frozen=True)
class Cause:
    """One way to break a cluster.

    :ivar broken: does it, and mends it afterwards.
    :ivar finding: the doctor's first finding.
    :ivar host: that it is on.
    :ivar by: the host that the proof fails on.
    :ivar proof: a pattern of what it says there.
    """

    broken: Callable[[Lab], AbstractContextManager[None]]
    finding: str
    host: str
    by: str
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


def dropped(host: str, source: str, ports: str) -> Callable[[Lab], AbstractContextManager[None]]:
    """Return a cause: a host drops what another one sends to some of its ports."""
    return lambda lab: filtered(lab, host, f"ip saddr {address(lab, source, 'fab0')} tcp dport {ports}")


@contextmanager
def bootstrap_port_filtered(lab: Lab) -> Iterator[None]:
    """Until decode misses the second heartbeat, it goes on with what it knows of prefill, and all is served."""
    with dropped("p0", "d0", "8998")(lab):
        rank, since = lab.rank("decode-0", 0), now()
        lost = f"journalctl --unit {rank['unit']} --since {since} --output cat | grep -q 'Losing connection with prefill'"
        wait_until(lambda: lab.run(rank["host"], lost).returncode == 0, 40, "decode misses prefill")
        yield


@contextmanager
def bootstrap_port_closed(lab: Lab) -> Iterator[None]:
    """A firewall that lets go on what is connected: decode's heartbeat is, every 5 s, so that no request tells."""
    lab.ssh("p0", "nft -f -", stdin=TRACKED)
    try:
        time.sleep(12)
        with dropped("p0", "d0", "8998 ct state new")(lab):
            yield
    finally:
        lab.ssh("p0", "nft delete table inet known")


@contextmanager
def transfer_ports_filtered(lab: Lab) -> Iterator[None]:
    try:
        with dropped("d0", "p0", "15000-17000")(lab):
            yield
    finally:
        # Prefill has given up decode's session, and takes none but a new one.
        lab.ssh("d0", f"systemctl restart {lab.rank('decode-0', 0)['unit']}", seconds=90)


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
    """The disk of all places that an engine writes to, on which nothing is left."""
    rank = lab.rank("decode-0", 0)
    place = "/run/cause-disk"
    lab.ssh(rank["host"], f"mkdir {place} && mount -t tmpfs -o size=4k,mode=1777 tmpfs {place} && head -c 4096 /dev/zero > {place}/full")
    try:
        places = ("/tmp", "/var/tmp", "/var/lib/sglang", "/var/cache/sglang")
        with started_as(lab, rank, lines=tuple(f"BindPaths={place}:{path}" for path in places)):
            yield
    finally:
        lab.ssh(rank["host"], f"umount {place} && rmdir {place}")


def router_started_as(change: Callable[[Lab, str], str]) -> Callable[[Lab], AbstractContextManager[None]]:
    """Return a cause: the router runs with another command line, and with its workers there says that all is well."""

    @contextmanager
    def broken(lab: Lab) -> Iterator[None]:
        with started_as(lab, lab.router, lambda line: change(lab, line)):
            wait_until(lambda: lab.request("/readiness", timeout=5)["status"] == 200, 60, "the wrong router is ready")
            yield

    return broken


def swapped(_lab: Lab, line: str) -> str:
    """Give prefill as decode, and decode as prefill."""
    prefill, decode = re.findall(r"http://[^\s\"']+", line)[-2:]
    return str(line.replace(prefill, "@").replace(decode, prefill).replace("@", decode))


@contextmanager
def router_before_workers(lab: Lab) -> Iterator[None]:
    """It gives up on engines that come up later than it waits, and does not look again."""
    ranks = [lab.rank("prefill-0", 0), lab.rank("decode-0", 0)]
    for rank in ranks:
        lab.ssh(rank["host"], f"systemctl stop {rank['unit']}", seconds=90)
    with started_as(lab, lab.router, added("--worker-startup-timeout-secs", "5")):
        given_up = f"journalctl --unit {lab.router['unit']} --since -60s --output cat | grep -c 'Failed job: type='"
        wait_until(lambda: lab.run(lab.router["host"], given_up).stdout.strip() == "2", 60, "the router has given up on both")
        for rank in ranks:
            lab.ssh(rank["host"], f"systemctl start {rank['unit']}", seconds=90)
        for rank in ranks:
            healthy(lab, rank, 120)
        yield


def rank_1(role: str) -> Callable[[Lab, str], str]:
    """Return a change that names rank 1 of an instance, which serves nothing but its health."""
    return lambda lab, line: line.replace(url_of(lab, role, 0), url_of(lab, role, 1))


def url_of(lab: Lab, role: str, number: int) -> str:
    return str(lab.rank(f"{role}-0", number)["health_url"].removesuffix("/health"))


def other_port(lab: Lab, line: str) -> str:
    """Name a bootstrap port at which nobody listens."""
    return re.sub(rf"\b{lab.router['workers'][0]['bootstrap_port']}\b", "8999", line)


#: Of instances of two hosts.
WIDE = {
    "roles swapped": Cause(router_started_as(swapped), "L03", "r0", "r0", r"router: prefill prefill-0 .* is listed as decode"),
    "rank 1 as prefill": Cause(router_started_as(rank_1("prefill")), "L02", "r0", "r0", r"is listed, but not planned"),
    "rank 1 as decode": Cause(router_started_as(rank_1("decode")), "L02", "r0", "r0", r"is listed, but not planned"),
    "another port in the router": Cause(router_started_as(other_port), "L04", "r0", "r0", r"bootstrap port 8999, planned is 8998"),
}
CAUSES = {
    "two networks": Cause(two_networks, "L01", "p0", "p0", r"engine rank 0 is not registered \(500\)"),
    "another bootstrap port": Cause(another_bootstrap_port, "L04", "r0", "p0", r"engine rank 0 is not registered \(refused\)"),
    "another page size": Cause(another_page_size, "L05", "d0", "d0", r"decode-0 rank 0 on d0 is"),
    "proxy in the environment": Cause(proxy_in_the_environment, "L28", "p0", "p0", r"engine rank 0 is not registered"),
    "address of the name": Cause(address_of_the_name, "L56", "d0", "p0", r"transport: decode-0 received .* it went another way"),
    "no address at all": Cause(no_address_at_all, "L35", "d0", "d0", r"decode-0"),
    "loopback as address": Cause(loopback_as_address, "L12", "d0", "r0", r"decode-0"),
    "bootstrap port filtered": Cause(bootstrap_port_filtered, "L57", "p0", "r0", r"prefill-0 > decode-0"),
    "bootstrap port closed": Cause(
        bootstrap_port_closed, "L57", "p0", "p0", r"bootstrap: d0: the bootstrap server of prefill-0 .* timed out"
    ),
    "transfer ports filtered": Cause(transfer_ports_filtered, "L57", "d0", "r0", r"decode-0"),
    "queue ports filtered": Cause(dropped("p0", "d0", "32768-60999"), "L57", "p0", "r0", r"prefill-0 > decode-0"),
    "router before workers": Cause(router_before_workers, "R05", "r0", "r0", r"(?s)is not listed.*has given up on it"),
    "rank killed": Cause(rank_killed, "L20", "d0", "d0", r"decode-0"),
    "rank that hangs": Cause(rank_that_hangs, "L58", "d0", "d0", r"decode-0 rank 0 on d0 is hanging"),
    "model cut short": Cause(model_cut_short, "L26", "d0", "d0", r"(?s)decode-0 rank 0 has ended.*\nL26: "),
    "library missing": Cause(library_missing, "L27", "d0", "d0", r"(?s)decode-0 rank 0 has ended.*\nL27: "),
    "disk full": Cause(disk_full, "L29", "d0", "d0", r"(?s)decode-0 rank 0 has ended.*\nL29: "),
}
#: The others are for the long run.
SHORT = {"roles swapped"}


def named(causes: dict[str, Cause]) -> list[Any]:
    """Return the names of causes as parameters."""
    return [pytest.param(name, marks=() if name in SHORT else pytest.mark.full) for name in causes]


@pytest.mark.parametrize("name", named(WIDE))
def test_it_is_told_of_instances_of_two_hosts(name: str, cluster: Lab, tmp_path: Path) -> None:
    check(WIDE[name], cluster, tmp_path)


@pytest.mark.parametrize("name", named(CAUSES))
def test_it_is_told_and_nothing_is_once_it_is_mended(name: str, pair: Lab, tmp_path: Path) -> None:
    check(CAUSES[name], pair, tmp_path)


def check(cause: Cause, lab: Lab, directory: Path) -> None:
    """Break a cluster, ask for it, mend it, and ask again."""
    since = now()
    with cause.broken(lab):
        text = refusal(lab, cause.by)
        found = diagnosis(lab, since, directory / "broken")
    lab.serving(MENDED_SECONDS * lab.pace)
    since = now()
    lab.play("--tags", "verify", seconds=240).succeeded()
    after = diagnosis(lab, since, directory / "mended")
    assert re.search(cause.proof, text), text
    first = found["findings"][0]
    assert (found["first"], first["host"]) == (cause.finding, cause.host), [(row["id"], row["host"]) for row in found["findings"]]
    assert after["verdict"] == "clean", after["findings"]


@pytest.mark.full
def test_tcp_where_rdma_was_planned(pair: Lab, tmp_path: Path) -> None:
    """The engines are told of devices that their hosts do not have, as when all links are cut: everything works, and slowly."""
    usual = pair.variables
    planned = {**usual, "sglang_rdma": True, "sglang_rdma_devices": ["mlx5_0"]}
    ranks = [pair.rank("prefill-0", 0), pair.rank("decode-0", 0)]
    named = added("--disaggregation-ib-device", "mlx5_0")
    since = now()
    with ExitStack() as later:
        for rank in ranks:
            later.enter_context(started_as(pair, rank, named, lines=("UnsetEnvironment=MC_FORCE_TCP",)))
        for rank in ranks:
            healthy(pair, rank)
        assert pair.serving(60 * pair.pace) > 0
        refused = pair.play("--tags", "preflight", variables=planned, seconds=240)
        text = refusal(pair, "p0", variables=planned)
        found = diagnosis(pair, since, tmp_path / "broken")
    pair.serving(MENDED_SECONDS * pair.pace)
    since = now()
    pair.play("--tags", "verify", variables=usual, seconds=240).succeeded()
    after = diagnosis(pair, since, tmp_path / "mended")
    assert refused.rc != 0
    (why,) = refused.failures.values()
    for host in ("p0", "d0"):
        assert f"(host {host}): sglang_rdma_devices: the host has no RDMA device mlx5_0" in why
    assert re.search(r"transport: (prefill|decode)-0 rank 0 on [pd]0: RDMA is planned, and its log says", text), text
    assert (found["first"], found["verdict"]) == ("L15", "degrades")
    assert {place["host"] for place in found["findings"][0]["places"]} == {"p0", "d0"}
    assert after["verdict"] == "clean", after["findings"]


# Runs on the router's host: asks for metrics, as a scraper does whose configuration covers too many ports, at each place of its input.
SCRAPER = r"""
import json, socket, sys
for host, port in json.loads(sys.stdin.read()):
    with socket.create_connection((host, port), 5) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: metrics\r\n\r\n")
        connection.settimeout(3)
        try:
            connection.recv(100)
        except OSError:
            pass
"""


@pytest.mark.full
def test_a_scraper_on_a_handshake_port_is_told_and_harms_nobody(pair: Lab, tmp_path: Path) -> None:
    listening = "ss --listening --tcp --numeric --no-header '( sport >= :15000 and sport <= :17000 )' | awk '{print $4}'"
    ports = {host: [int(end.rpartition(":")[2]) for end in pair.ssh(host, listening).split()] for host in ("p0", "d0")}
    places = [[address(pair, host, "fab0"), port] for host in ports for port in ports[host]]
    assert len(places) >= 2
    since = now()
    pair.python("r0", SCRAPER, json.dumps(places))
    pair.play("--tags", "verify", seconds=240).succeeded()
    found = diagnosis(pair, since, tmp_path)
    above = [row for row in found["findings"] if row["severity"] != "note"]
    assert (found["first"], {row["id"] for row in above}) == ("D38", {"D38"})
    assert "GET /met" in above[0]["title"]


@pytest.mark.full
def test_a_bundle_tells_the_same_in_other_names(pair: Lab, tmp_path: Path) -> None:
    since = now()
    with two_networks(pair):
        refusal(pair, "p0")
        here = diagnosis(pair, since, tmp_path / "here")
        variables = {**pair.variables, "collect_since": since, "collect_directory": str(tmp_path)}
        # It notes what fails on a host, and ends well.
        packed = pair.play(playbook="playbooks/collect.yml", variables=variables, seconds=240).succeeded()
    pair.serving(MENDED_SECONDS * pair.pace)
    assert {host for host, tasks in packed.changed.items() if tasks} == {"localhost"}
    bundle = tmp_path / "bundle.tar.gz"
    there = tmp_path / "there"
    read = pair.play(
        playbook="playbooks/doctor.yml", inventory=None, variables={"doctor_path": str(bundle), "doctor_directory": str(there)}, seconds=120
    )
    found = told(read, there)
    new = json.loads((tmp_path / "bundle-map.json").read_text(encoding="utf-8"))["replaced"]["host names"]
    assert [(row["id"], row["host"], row["severity"]) for row in found["findings"]] == [
        (row["id"], new.get(row["host"], row["host"]), row["severity"]) for row in here["findings"]
    ]
    assert (found["first"], found["findings"][0]["host"]) == ("L01", new["p0"])
    secret = [address(pair, host, network).encode() for host in ("p0", "d0", "r0") for network in ("fab0", "mgmt0")]
    with tarfile.open(bundle) as archive:
        content = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        texts = {name: stream.read() for name, stream in content.items() if stream is not None}
    plain = {name: gzip.decompress(data) if name.endswith(".gz") else data for name, data in texts.items()}
    assert {"manifest.json", "plan/plan.json", "plan/findings.json"} <= set(plain)
    assert [(name, text) for name, data in plain.items() for text in secret if re.search(rb"\b" + re.escape(text) + rb"\b", data)] == []
