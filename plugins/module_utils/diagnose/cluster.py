# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What logs say of the cluster itself, without a plan: arguments of engines, addresses they listen on, workers of routers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.catalogue import ENGINE, ROUTER, Match
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.origin import Origin
from ansible_collections.railyard.sglang.plugins.module_utils.diagnose.scanning import Hit, Watch

# Arguments in a log (entrypoints/engine.py): ServerArgs(name=value, ...) of sglang 0.5.8, server_args={'name': value, ...} of 0.5.23.
_VALUE = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|None|True|False|-?\d+(?:\.\d+)?"
_ARGUMENT = re.compile(rf"(?:\b([a-z_]+)=|'([a-z_]+)': )({_VALUE})(?=[,)}}\s]|$)")
# What stands at the top: whatever is inside of a value has names of its own. A quote that nothing ends is where a line was cut off.
_TOP = re.compile(r"'((?:[^'\\]|\\.)*)'(: )?|\"(?:[^\"\\]|\\.)*\"|\b([A-Za-z_]\w*)=|([\[({])|([\])}])|(['\"])")
_OPTION = re.compile(r"--([a-z][a-z0-9-]*)(?:[ =]('[^']*'|\"[^\"]*\"|(?!--)[^\s'\"]+))?")
_SPELLINGS = {"tp": "tp_size", "tensor_parallel_size": "tp_size", "dist_init_address": "dist_init_addr"}
KEYS = frozenset(
    (
        "model_path",
        "served_model_name",
        "host",
        "port",
        "dist_init_addr",
        "nnodes",
        "node_rank",
        "tp_size",
        "dp_size",
        "pp_size",
        "page_size",
        "kv_cache_dtype",
        "disaggregation_mode",
        "disaggregation_bootstrap_port",
        "disaggregation_transfer_backend",
        "disaggregation_ib_device",
        "context_length",
    )
)
# What engine ports listen on where nothing is said: sglang 0.5.8 server_args.py.
DEFAULTS = {"disaggregation_bootstrap_port": "8998", "port": "30000"}
_URL = re.compile(r"(?:https?|grpc)://(\[[0-9a-fA-F:.]+\]|[^/:\s\"]+)(?::(\d+))?")
_WORKER = re.compile(r"\"((?:https?|grpc)://[^\"]+)\"(?:, (?:Some\((\d+)\)|None))?")
_PREFILL = re.compile(r"--prefill[ =](\S+)(?: (\d+|none)(?= |$))?")
_DECODE = re.compile(r"--decode[ =](\S+)")
_LONG = 1 << 17


def _watch(owner: str, literal: str, pattern: str, reach: int = 1024) -> Watch:
    return Watch(f"fact:{owner}", Match((literal,), re.compile(pattern)), reach=reach)


# Forms of sglang 0.5.8 and 0.5.23, sglang-router 0.3.2 and Mooncake 0.3.8 to 0.3.13, as they were seen.
WATCHES = (
    _watch("arguments", "ServerArgs(", r"ServerArgs\((?P<arguments>.*)", _LONG),
    _watch("arguments", "server_args={'", r"server_args=\{(?P<arguments>'.*)", _LONG),
    _watch("engine-command", "sglang.launch_server", r"sglang\.launch_server\b(?P<command> .*--.*)", _LONG),
    _watch("engine-command", "sglang serve --", r"sglang serve\b(?P<command> --.*)", _LONG),
    _watch(
        "workers",
        "decode_urls: [",
        r"(?:Starting router on (?P<listens>\S+) .*)?prefill_urls: \[(?P<prefill>.*?)\], decode_urls: \[(?P<decode>[^\]]*)\]",
        _LONG,
    ),
    _watch("router-command", "--pd-disaggregation", r"(?P<command>--.*)", _LONG),
    _watch("listens", "Uvicorn running on", r"Uvicorn running on (?P<url>\S+)"),
    _watch("stub", "Dummy health check server", r"Dummy health check server .*?(?P<address>\[?[0-9a-fA-F:.]+\]?|[\w.-]+):(?P<port>\d+)"),
    _watch("transfer", "handshake, listening on", r"listening on (?P<address>\S+):(?P<port>\d+)"),
    _watch("tcp", "TcpTransport: listen", r"TcpTransport: listen"),
    _watch("forced-tcp", "MC_FORCE_TCP is set", r"MC_FORCE_TCP is set"),
    # With a proxy in between the URL is a whole one, and the host is the proxy's.
    _watch(
        "refused",
        "failed to register to bootstrap server",
        r"failed to register(?!.* with url: https?://).*?host='(?P<address>[^']+)', port=(?P<port>\d+)",
    ),
)


def address(text: str) -> str:
    """Return an address in its usual form, a name as it is, without brackets."""
    text = text.strip().strip("[]")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower()


def split(text: str) -> tuple[str, str]:
    """Return address and port of C(address:port), C([address]:port) or a URL; the port is empty where there is none."""
    match = _URL.match(text)
    if match is not None:
        return address(match[1]), match[2] or ""
    if text.startswith("["):
        host, _bracket, port = text[1:].partition("]")
        return address(host), port.lstrip(":")
    if text.count(":") > 1:
        return address(text), ""
    host, _colon, port = text.partition(":")
    return address(host), port


def network(text: str) -> str:
    """Return the /24 or /64 that an address is in: what hosts of one network commonly share. Empty for a name."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return str(ipaddress.ip_network(f"{found}/{24 if found.version == 4 else 64}", strict=False))


def wildcard(text: str) -> bool:
    """Return whether an address to listen on means all of the host's."""
    return text in ("0.0.0.0", "::", "")


@dataclass
class Engine:
    """One engine process of one rank, as its log shows it; of several starts the last.

    :ivar arguments: values as text, without those that are None.
    :ivar names: of all its arguments, empty where they are not known.
    :ivar hit: the line that they are from.
    :ivar api: addresses that it said to serve its API on; of a rank above 0 its health stub.
    :ivar stub: whether that is the health stub, which serves nothing else.
    :ivar transfer: addresses that the transfer engine said to listen on.
    """

    origin: Origin
    arguments: dict[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    hit: Hit | None = None
    api: Hit | None = None
    stub: Hit | None = None
    transfer: Hit | None = None
    tcp: Hit | None = None
    forced: bool = False
    refused: Hit | None = None

    def value(self, key: str) -> str:
        """Return an argument, or what stands where none is given; empty where nothing does."""
        return self.arguments.get(key, DEFAULTS.get(key, "") if self.arguments else "")

    @property
    def role(self) -> str:
        """Return prefill or decode, empty where it is neither or unknown."""
        mode = self.arguments.get("disaggregation_mode", "")
        return mode if mode in ("prefill", "decode") else "" if self.arguments else self.origin.role

    @property
    def rank(self) -> int | None:
        """Return the rank, None where it is unknown."""
        given = self.arguments.get("node_rank", "")
        if given.isdigit():
            return int(given)
        return self.origin.rank if self.origin.rank is not None else 0 if self.arguments else None

    @property
    def addresses(self) -> set[tuple[str, str]]:
        """Return the addresses and ports at which it is reached, as far as they are known."""
        found = {(address(self.value("host")), self.value("port"))} if self.value("host") else set()
        for hit in (self.api, self.stub):
            if hit is not None:
                found.add(split(hit.groups["url"]) if "url" in hit.groups else (address(hit.groups["address"]), hit.groups["port"]))
        return {pair for pair in found if not wildcard(pair[0])}

    @property
    def hosts(self) -> set[str]:
        """Return all addresses that are this host's, as far as they are known."""
        found = {pair[0] for pair in self.addresses}
        if self.transfer is not None:
            found.add(address(self.transfer.groups["address"]))
        if self.rank == 0 and self.value("dist_init_addr"):
            found.add(split(self.value("dist_init_addr"))[0])
        return {item for item in found if not wildcard(item)}


@dataclass(frozen=True)
class Worker:
    """One worker of a router's list.

    :ivar port: bootstrap port, empty where none is given.
    """

    role: str
    url: str
    port: str = ""


@dataclass
class Router:
    """One router and the workers that it was started with.

    :ivar listens: where it listens, as address:port; empty where the log does not say.
    """

    origin: Origin
    workers: list[Worker] = field(default_factory=list)
    hit: Hit | None = None
    listens: str = ""


def arguments(text: str) -> dict[str, str]:
    """Return the arguments that matter from the inside of ServerArgs(...)."""
    found: dict[str, str] = {}
    for plain, quoted, value in _ARGUMENT.findall(text):
        key = plain or quoted
        if key in KEYS and value != "None":
            found.setdefault(key, value[1:-1] if value[0] in "'\"" else value)
    return found


def names_of(text: str) -> frozenset[str]:
    """Return the names of all arguments from the inside of a whole line of them, none of a line that was cut off.

    Every engine of one version prints the same names, whatever their values are.
    """
    depth = 0
    found: list[str] = []
    for match in _TOP.finditer(text):
        if match[6]:
            return frozenset()
        depth += (match[4] is not None) - (match[5] is not None)
        if depth < 0:
            return frozenset(found)
        if not depth and (match[2] or match[3]):
            found.append(match[1] if match[2] else match[3])
    return frozenset()


def options(command: str) -> dict[str, str]:
    """Return the arguments that matter from a command line."""
    found: dict[str, str] = {}
    for name, value in _OPTION.findall(command):
        key = name.replace("-", "_")
        key = _SPELLINGS.get(key, key)
        if key in KEYS and value:
            found[key] = value.strip("'\"")
    return found


@dataclass
class Cluster:
    """All engines and routers of the logs.

    :ivar names: by which hosts are known, by those that their logs have.
    """

    names: dict[str, str] = field(default_factory=dict)
    engines: dict[Origin, Engine] = field(default_factory=dict)
    routers: dict[Origin, Router] = field(default_factory=dict)

    def take(self, hit: Hit) -> None:
        """Take in one fact."""
        kind = hit.owner.partition(":")[2]
        if kind in ("workers", "router-command"):
            self._router(hit, kind)
            return
        engine = self.engines.setdefault(hit.origin, Engine(hit.origin))
        if kind == "arguments":
            text = hit.groups.get("arguments", "")
            self._started(engine, hit, arguments(text), names_of(text))
        elif kind == "engine-command":
            found = options(hit.groups["command"])
            if found and not engine.arguments:
                self._started(engine, hit, found)
            elif not found and not engine.arguments:
                del self.engines[hit.origin]
        elif kind == "listens":
            engine.api = hit
        elif kind == "stub":
            engine.stub = hit
        elif kind == "transfer":
            engine.transfer = hit
        elif kind == "tcp":
            engine.tcp = hit
        elif kind == "forced-tcp":
            engine.forced = True
        elif kind == "refused":
            engine.refused = hit

    @staticmethod
    def _started(engine: Engine, hit: Hit, found: dict[str, str], names: frozenset[str] = frozenset()) -> None:
        engine.arguments, engine.names, engine.hit = found, names, replace(hit, text=hit.text[:200], groups={})
        engine.api = engine.stub = engine.transfer = engine.tcp = engine.refused = None
        engine.forced = False

    def _router(self, hit: Hit, kind: str) -> None:
        if kind == "workers":
            workers = [Worker("prefill", url, port) for url, port in _WORKER.findall(hit.groups.get("prefill", ""))]
            workers += [Worker("decode", url) for url, _port in _WORKER.findall(hit.groups.get("decode", ""))]
        else:
            command = hit.groups["command"]
            workers = [Worker("prefill", url, "" if port == "none" else port) for url, port in _PREFILL.findall(command)]
            workers += [Worker("decode", url) for url in _DECODE.findall(command)]
        if workers:
            listens = hit.groups.get("listens", "").replace("0.0.0.0:", "127.0.0.1:")
            self.routers[hit.origin] = Router(hit.origin, workers, replace(hit, text=hit.text[:400], groups={}), listens)

    def named(self, origin: Origin) -> Origin:
        """Return an origin with what its arguments tell of role, instance and rank."""
        engine = self.engines.get(origin)
        if engine is None:
            return replace(origin, process=ROUTER) if origin in self.routers and not origin.process else origin
        role, rank = engine.role or origin.role, engine.rank if engine.arguments else origin.rank
        instance = origin.instance if origin.instance.startswith(role) else ""
        if not instance and role and engine.value("dist_init_addr"):
            # What all ranks of an instance have in common.
            instance = f"{role} at {engine.value('dist_init_addr')}"
        return replace(origin, process=origin.process or ENGINE, role=role, rank=rank, instance=instance)

    def at(self, text: str) -> Engine | None:
        """Return the engine that an address, name or URL means, None where it is unknown or means several."""
        host, port = split(text)
        exact = [engine for engine in self.engines.values() if (host, port) in engine.addresses]
        if len(exact) == 1:
            return exact[0]
        near = [
            engine
            for engine in self.engines.values()
            if host in engine.hosts or (host and self.names.get(host, host) == engine.origin.host)
        ]
        return near[0] if len({engine.origin.host or engine.origin.file for engine in near}) == 1 else None

    def of_role(self, role: str) -> list[Engine]:
        """Return the engines of a role, of which the arguments are known."""
        return [engine for engine in self.engines.values() if engine.arguments and engine.role == role]


def instances(engines: Iterable[Engine]) -> dict[str, list[Engine]]:
    """Return engines by their rendezvous address, which all ranks of an instance share."""
    found: dict[str, list[Engine]] = {}
    for engine in engines:
        key = engine.value("dist_init_addr")
        if key:
            host, port = split(key)
            found.setdefault(f"{engine.role} {host}:{port}", []).append(engine)
    return found
