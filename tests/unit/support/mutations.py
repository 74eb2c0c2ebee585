# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slips of an operator, drawn by chance from a good inventory: what is changed, and the rule that must find it at which variable.

A mutation returns None where the inventory offers no place for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ansible_collections.railyard.sglang.plugins.module_utils.launch import flags, stacks
from ansible_collections.railyard.sglang.tests.unit.support.clusters import GONE, Inventory

T = TypeVar("T")
# Attention backends that set a page size of their own, whatever is written.
FORCING = ("flashmla", "cutlass_mla", "trtllm_mla")
OTHER_NETWORK = "198.18.0."


class Draw:
    """Chance that is the same on every machine and in every version of Python."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.turn = 0

    def randrange(self, start: int, stop: int | None = None) -> int:
        """Return a number from start on and below stop, or from 0 on and below start."""
        low, high = (0, start) if stop is None else (start, stop)
        self.turn += 1
        number = int.from_bytes(hashlib.sha256(f"{self.seed} {self.turn}".encode()).digest()[:8], "big")
        return low + number % (high - low)

    def randint(self, low: int, high: int) -> int:
        """Return a number from low to high."""
        return self.randrange(low, high + 1)

    def choice(self, items: Sequence[T]) -> T:
        """Return one of several."""
        return items[self.randrange(len(items))]

    def sample(self, items: Sequence[T], count: int) -> list[T]:
        """Return so many different ones."""
        rest = list(items)
        return [rest.pop(self.randrange(len(rest))) for _turn in range(count)]


@dataclass(frozen=True)
class Slip:
    """One change that would break the cluster.

    :ivar rules: any of these says what is wrong.
    :ivar variable: regular expression of the whole variable that the finding must name.
    """

    changes: dict[str, Any]
    rules: tuple[str, ...]
    variable: str


Mutation = Callable[[Draw, Inventory], Slip | None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(made: Mutation) -> Mutation:
    """Register a mutation by its name."""
    MUTATIONS[made.__name__] = made
    return made


def common(inventory: Inventory) -> dict[str, Any]:
    """Return the variables of the cluster."""
    return next(row for row in inventory.hostvars.values() if row.get("sglang_pools"))


def pools(inventory: Inventory) -> dict[str, dict[str, Any]]:
    """Return the pools as written."""
    return common(inventory)["sglang_pools"]


def members(inventory: Inventory, name: str) -> list[str]:
    """Return the hosts of a pool's group."""
    return inventory.groups[pools(inventory)[name].get("group", name)]


def engines(inventory: Inventory) -> list[str]:
    """Return every engine host once."""
    return list(dict.fromkeys(host for name in pools(inventory) for host in members(inventory, name)))


def spanning(inventory: Inventory) -> list[str]:
    """Return the hosts of instances that span hosts."""
    found = []
    for name, pool in pools(inventory).items():
        if pool.get("nodes_per_instance", 1) > 1 or any(len(row["hosts"]) > 1 for row in pool.get("instances") or []):
            found += members(inventory, name)
    return found


def table(inventory: Inventory) -> flags.FlagTable:
    """Return the option table of the inventory's engine."""
    return flags.load(stacks.ENGINES[common(inventory)["sglang_stack"]].flags)


def is_cpu(inventory: Inventory) -> bool:
    """Whether the engine runs on CPUs."""
    return stacks.ENGINES[common(inventory)["sglang_stack"]].device == "cpu"


def pairs(inventory: Inventory) -> bool:
    """Whether the cluster is prefill/decode."""
    return {"prefill", "decode"} <= {pool.get("mode") or name for name, pool in pools(inventory).items()}


# --- addresses


@mutation
def address_dropped(draw: Draw, inventory: Inventory) -> Slip | None:
    host = draw.choice(engines(inventory))
    return Slip({f"{host}:sglang_fabric_address": GONE}, ("address.missing",), "sglang_fabric_address")


@mutation
def address_of_another(draw: Draw, inventory: Inventory) -> Slip | None:
    hosts = engines(inventory)
    if len(hosts) < 2:
        return None
    one, other = draw.sample(hosts, 2)
    address = inventory.hostvars[other]["sglang_fabric_address"]
    return Slip({f"{one}:sglang_fabric_address": address}, ("address.twice",), "sglang_fabric_address")


@mutation
def management_address_as_fabric_address(draw: Draw, inventory: Inventory) -> Slip | None:
    if not common(inventory).get("sglang_fabric_network"):
        return None
    host = draw.choice(engines(inventory))
    changes = {f"{host}:sglang_fabric_address": inventory.hostvars[host]["ansible_host"]}
    return Slip(changes, ("address.not-in-fabric",), "sglang_fabric_address")


@mutation
def name_as_address(draw: Draw, inventory: Inventory) -> Slip | None:
    host = draw.choice(engines(inventory))
    return Slip({f"{host}:sglang_fabric_address": f"{host}.example.org"}, ("address.not-an-address",), "sglang_fabric_address")


@mutation
def wildcard_as_address(draw: Draw, inventory: Inventory) -> Slip | None:
    host = draw.choice(engines(inventory))
    return Slip({f"{host}:sglang_fabric_address": draw.choice(["0.0.0.0", "127.0.0.1"])}, ("address.wildcard",), "sglang_fabric_address")


@mutation
def interface_dropped(draw: Draw, inventory: Inventory) -> Slip | None:
    hosts = spanning(inventory)
    if not hosts:
        return None
    return Slip({f"{draw.choice(hosts)}:sglang_fabric_interface": GONE}, ("address.interface",), "sglang_fabric_interface")


@mutation
def bind_address_on_another_network(draw: Draw, inventory: Inventory) -> Slip | None:
    if not (pairs(inventory) and set(spanning(inventory)) & set(members(inventory, "prefill"))):
        return None
    head = members(inventory, "prefill")[0]
    changes = {
        f"{head}:sglang_bind_address": OTHER_NETWORK + "7",
        f"{head}:sglang_dist_init_address": inventory.hostvars[head]["sglang_fabric_address"],
    }
    return Slip(changes, ("networks.bootstrap-unreachable",), "sglang_bind_address")


@mutation
def kv_address_taken_back(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    return Slip(
        {"sglang_env": {**(common(inventory).get("sglang_env") or {}), "SGLANG_HOST_IP": None}},
        ("networks.kv-address-unset",),
        "sglang_env.SGLANG_HOST_IP",
    )


# --- topology


@mutation
def host_left_out_of_its_group(draw: Draw, inventory: Inventory) -> Slip | None:
    names = [name for name, pool in pools(inventory).items() if pool.get("nodes_per_instance", 1) > 1 and not pool.get("instances")]
    if not names:
        return None
    name = draw.choice(names)
    group, hosts = pools(inventory)[name].get("group", name), members(inventory, name)
    lost = draw.choice(hosts)
    return Slip({f"@{group}": [host for host in hosts if host != lost]}, ("topology.odd-hosts",), f"sglang_pools.{name}.nodes_per_instance")


@mutation
def empty_group(draw: Draw, inventory: Inventory) -> Slip | None:
    name = draw.choice(list(pools(inventory)))
    return Slip({f"@{pools(inventory)[name].get('group', name)}": []}, ("topology.group-empty",), f"sglang_pools.{name}.group")


@mutation
def router_group_misspelt(draw: Draw, inventory: Inventory) -> Slip | None:
    return Slip({"sglang_router.group": "ruoter"}, ("topology.group-empty",), "sglang_router.group")


@mutation
def host_in_both_pools(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory) or is_cpu(inventory):
        return None
    prefill, decode = members(inventory, "prefill"), members(inventory, "decode")
    if set(prefill) & set(decode) or pools(inventory)["decode"].get("instances"):
        return None
    swapped = [draw.choice(prefill), *decode[1:]]
    rules = ("placement.gpu-count",)
    return Slip({f"@{pools(inventory)['decode'].get('group', 'decode')}": swapped}, rules, "sglang_pools.decode.hosts")


@mutation
def tp_off_by_one(draw: Draw, inventory: Inventory) -> Slip | None:
    name = draw.choice(list(pools(inventory)))
    tp = pools(inventory)[name]["tp"]
    if not isinstance(tp, int):
        return None
    rules = ("topology.tp-nodes", "parallel.dp-tp", "capacity.divisible", "placement.gpu-count")
    return Slip({f"sglang_pools.{name}.tp": tp + 1}, rules, r"sglang_pools\.\w+\.(tp|dp|hosts)")


@mutation
def number_as_a_text(draw: Draw, inventory: Inventory) -> Slip | None:
    name, key = draw.choice(list(pools(inventory))), draw.choice(["tp", "port", "nodes_per_instance", "dist_init_port"])
    return Slip({f"sglang_pools.{name}.{key}": "eight"}, ("input.type",), f"sglang_pools.{name}.{key}")


@mutation
def misspelt_key(draw: Draw, inventory: Inventory) -> Slip | None:
    name, key = draw.choice(list(pools(inventory))), draw.choice(["prot", "nodes_per_instace", "bootstrap-port", "tensor_parallel"])
    return Slip({f"sglang_pools.{name}.{key}": 1}, ("input.unknown-key",), f"sglang_pools.{name}.{key}")


@mutation
def a_pool_is_missing(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    name = draw.choice(["prefill", "decode"])
    return Slip({f"sglang_pools.{name}": GONE}, ("input.missing",), f"sglang_pools.{name}")


@mutation
def one_host_says_something_else(draw: Draw, inventory: Inventory) -> Slip | None:
    hosts = engines(inventory)
    if len(hosts) < 2:
        return None
    return Slip({f"{draw.choice(hosts[1:])}:sglang_args": {"log-level": "debug"}}, ("input.not-one-value",), "sglang_args")


@mutation
def gpus_halved(draw: Draw, inventory: Inventory) -> Slip | None:
    gpu = common(inventory).get("sglang_gpu") or {}
    host = draw.choice(engines(inventory))
    needed = max(pool["tp"] for pool in pools(inventory).values() if isinstance(pool["tp"], int))
    if not gpu.get("count") or needed < gpu["count"]:
        return None
    return Slip({f"{host}:sglang_gpu": {**gpu, "count": gpu["count"] // 2}}, ("placement.gpu-count",), r"sglang_pools\.\w+\.hosts")


@mutation
def two_instances_on_the_same_gpus(draw: Draw, inventory: Inventory) -> Slip | None:
    for name, pool in pools(inventory).items():
        host = members(inventory, name)[0]
        if pool.get("instances") or pool.get("nodes_per_instance", 1) > 1 or len(members(inventory, name)) > 1:
            continue
        rows = [{"name": f"{name}-{letter}", "hosts": [host], "first_gpu": 0} for letter in "ab"]
        return Slip({f"sglang_pools.{name}.instances": rows}, ("placement.gpu-twice",), rf"sglang_pools\.{name}\.instances\[1\]\.first_gpu")
    return None


# --- ports


@mutation
def port_in_the_ephemeral_range(draw: Draw, inventory: Inventory) -> Slip | None:
    name = draw.choice(list(pools(inventory)))
    return Slip({f"sglang_pools.{name}.port": draw.randint(33000, 60000)}, ("port.range",), f"sglang_pools.{name}.port")


@mutation
def port_in_mooncakes_range(draw: Draw, inventory: Inventory) -> Slip | None:
    if common(inventory).get("sglang_transfer_backend", "mooncake") != "mooncake" or not pairs(inventory):
        return None
    return Slip({"sglang_pools.prefill.port": draw.randint(15001, 16999)}, ("port.range",), "sglang_pools.prefill.port")


@mutation
def bootstrap_port_is_the_api_port(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    return Slip(
        {"sglang_pools.prefill.bootstrap_port": pools(inventory)["prefill"]["port"]}, ("port.twice",), "sglang_pools.prefill.bootstrap_port"
    )


@mutation
def router_port_is_its_metrics_port(draw: Draw, inventory: Inventory) -> Slip | None:
    port = draw.randint(2000, 14000)
    return Slip({"sglang_router.port": port, "sglang_router.metrics_port": port}, ("port.twice",), "sglang_router.metrics_port")


@mutation
def port_beyond_the_last(draw: Draw, inventory: Inventory) -> Slip | None:
    name = draw.choice(list(pools(inventory)))
    return Slip({f"sglang_pools.{name}.port": draw.choice([0, 65536, 300000])}, ("input.type",), f"sglang_pools.{name}.port")


# --- arguments


def _an_option(draw: Draw, inventory: Inventory, kind: str) -> flags.Option:
    found = [
        option
        for option in table(inventory).options.values()
        if option.plain and option.type == kind and not option.choices and not option.nargs
    ]
    return draw.choice(sorted(found, key=lambda option: option.name))


@mutation
def flag_with_a_letter_missing(draw: Draw, inventory: Inventory) -> Slip | None:
    name = _an_option(draw, inventory, "int").name
    place = draw.randrange(1, len(name) - 1)
    slip = name[:place] + name[place + 1 :]
    if table(inventory).find(slip) is not None:
        return None
    args = {**(common(inventory).get("sglang_args") or {}), slip: 1}
    return Slip({"sglang_args": args}, ("argument.unknown", "argument.abbreviation", "argument.other-version"), f"sglang_args.{slip}")


@mutation
def flag_of_another_engine(draw: Draw, inventory: Inventory) -> Slip | None:
    flag = draw.choice(["kv-transfer-config", "kv-connector-url", "disaggregation-decode-url", "gpu-memory-utilization"])
    args = {**(common(inventory).get("sglang_args") or {}), flag: "x"}
    return Slip({"sglang_args": args}, ("argument.other-engine",), f"sglang_args.{flag}")


@mutation
def number_argument_as_a_text(draw: Draw, inventory: Inventory) -> Slip | None:
    args = common(inventory).get("sglang_args") or {}
    flag = draw.choice(["page-size", "max-running-requests", "chunked-prefill-size"])
    return Slip({"sglang_args": {**args, flag: "many"}}, ("argument.value",), f"sglang_args.{flag}")


@mutation
def choice_that_is_none(draw: Draw, inventory: Inventory) -> Slip | None:
    args = common(inventory).get("sglang_args") or {}
    flag = draw.choice(["attention-backend", "schedule-policy", "load-format"])
    option = table(inventory).find(flag)
    if option is None or not option.choices:
        return None
    return Slip({"sglang_args": {**args, flag: "fastest"}}, ("argument.value",), f"sglang_args.{flag}")


@mutation
def topology_as_an_argument(draw: Draw, inventory: Inventory) -> Slip | None:
    args = common(inventory).get("sglang_args") or {}
    flag, value = draw.choice([("tp-size", 4), ("nnodes", 2), ("node-rank", 1), ("port", 30000), ("host", "0.0.0.0"), ("base-gpu-id", 1)])
    return Slip({"sglang_args": {**args, flag: value}}, ("argument.typed",), r"sglang_args\.[a-z-]+")


@mutation
def pools_with_different_page_sizes(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    args = [common(inventory).get("sglang_args") or {}, *(pool.get("args") or {} for pool in pools(inventory).values())]
    if any(row.get("attention-backend") in FORCING for row in args):
        return None
    name = draw.choice(["prefill", "decode"])
    args = {**(pools(inventory)[name].get("args") or {}), "page-size": 32}
    return Slip({f"sglang_pools.{name}.args": args}, ("parity.page-size",), f"sglang_pools.{name}.args.page-size")


@mutation
def pools_with_different_kv_types(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    args = {**(pools(inventory)["decode"].get("args") or {}), "kv-cache-dtype": "fp8_e4m3"}
    return Slip({"sglang_pools.decode.args": args}, ("parity.kv-cache-dtype",), "sglang_pools.decode.args.kv-cache-dtype")


@mutation
def a_rank_with_another_argument(draw: Draw, inventory: Inventory) -> Slip | None:
    hosts = spanning(inventory)
    if not hosts:
        return None
    host = draw.choice(hosts)
    given = {**(inventory.hostvars[host].get("sglang_host_args") or {}), "chunked-prefill-size": 2048}
    return Slip({f"{host}:sglang_host_args": given}, ("parity.ranks",), "sglang_host_args.chunked-prefill-size")


@mutation
def transfer_backend_of_another_kind(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    return Slip({"sglang_transfer_backend": draw.choice(["rdma", "tcp", "nccl"])}, ("backend.unknown",), "sglang_transfer_backend")


@mutation
def stack_that_does_not_exist(draw: Draw, inventory: Inventory) -> Slip | None:
    name = draw.choice(["sglang_stack", "sglang_router_stack"])
    return Slip({name: common(inventory)[name] + "-x"}, ("stack.unknown",), name)


# --- environment


def _env(inventory: Inventory, **change: Any) -> dict[str, Any]:
    return {"sglang_env": {**(common(inventory).get("sglang_env") or {}), **change}}


@mutation
def expandable_segments(draw: Draw, inventory: Inventory) -> Slip | None:
    if is_cpu(inventory) or not pairs(inventory) or common(inventory).get("sglang_transfer_backend", "mooncake") == "ascend":
        return None
    name = "PYTORCH_CUDA_ALLOC_CONF"
    return Slip(_env(inventory, **{name: "expandable_segments:True"}), ("environment.dangerous",), f"sglang_env.{name}")


@mutation
def timeouts_of_a_day(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    name = draw.choice(["SGLANG_DISAGGREGATION_BOOTSTRAP_TIMEOUT", "SGLANG_DISAGGREGATION_WAITING_TIMEOUT"])
    return Slip(_env(inventory, **{name: "100000"}), ("environment.dangerous",), f"sglang_env.{name}")


@mutation
def variable_with_a_letter_missing(draw: Draw, inventory: Inventory) -> Slip | None:
    name = draw.choice(["SGLANG_DISAGGREGATION_QUEUE_SIZE", "SGLANG_DISAGGREGATION_THREAD_POOL_SIZE", "SGLANG_SET_CPU_AFFINITY"])
    place = draw.randrange(len("SGLANG_") + 1, len(name) - 1)
    slip = name[:place] + name[place + 1 :]
    return Slip(_env(inventory, **{slip: "1"}), ("environment.unknown-sglang",), f"sglang_env.{slip}")


@mutation
def boolean_in_the_environment(draw: Draw, inventory: Inventory) -> Slip | None:
    return Slip(_env(inventory, NCCL_IB_DISABLE=draw.choice([True, False])), ("environment.value",), "sglang_env.NCCL_IB_DISABLE")


@mutation
def secret_in_the_environment(draw: Draw, inventory: Inventory) -> Slip | None:
    return Slip(_env(inventory, HF_TOKEN="hf_x"), ("environment.secret",), "sglang_env.HF_TOKEN")


@mutation
def gloo_interface_taken_back(draw: Draw, inventory: Inventory) -> Slip | None:
    if not spanning(inventory):
        return None
    return Slip(_env(inventory, GLOO_SOCKET_IFNAME=None), ("environment.gloo-interface",), "sglang_env.GLOO_SOCKET_IFNAME")


# --- router


def _workers(inventory: Inventory) -> list[dict[str, Any]]:
    """Return the worker list that the plan derives, as an operator would write it."""
    return [{key: row[key] for key in ("url", "role", "bootstrap_port")} for row in inventory.plan()["routers"][0]["workers"]]


@mutation
def rank_1_in_the_router(draw: Draw, inventory: Inventory) -> Slip | None:
    ranks = [rank for row in inventory.plan()["instances"] for rank in row["ranks"] if rank["rank"] == 1]
    if not ranks:
        return None
    rank = draw.choice(ranks)
    workers = [*_workers(inventory), {"url": rank["health_url"].removesuffix("/health"), "role": rank["mode"], "bootstrap_port": 8998}]
    return Slip({"sglang_router.workers": workers}, ("router.not-rank-0",), r"sglang_router\.workers\[\d+\]\.url")


@mutation
def roles_swapped_in_the_router(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    other = {"prefill": "decode", "decode": "prefill"}
    workers = [{**row, "role": other[row["role"]]} for row in _workers(inventory)]
    return Slip({"sglang_router.workers": workers}, ("router.role",), r"sglang_router\.workers\[\d+\]\.role")


@mutation
def bootstrap_port_off_by_one_in_the_router(draw: Draw, inventory: Inventory) -> Slip | None:
    if not pairs(inventory):
        return None
    step = draw.choice([-1, 1])
    workers = [{**row, "bootstrap_port": row["bootstrap_port"] + step} if row["role"] == "prefill" else row for row in _workers(inventory)]
    return Slip({"sglang_router.workers": workers}, ("router.bootstrap-port",), r"sglang_router\.workers\[\d+\]\.bootstrap_port")


@mutation
def worker_that_nobody_is(draw: Draw, inventory: Inventory) -> Slip | None:
    workers = _workers(inventory)
    workers[draw.randrange(len(workers))]["url"] = f"http://{OTHER_NETWORK}9:30000"
    return Slip({"sglang_router.workers": workers}, ("router.unknown-worker",), r"sglang_router\.workers\[\d+\]\.url")


# --- RDMA and memory


@mutation
def device_that_the_host_does_not_have(draw: Draw, inventory: Inventory) -> Slip | None:
    if not common(inventory).get("sglang_rdma_devices") or not pairs(inventory):
        return None
    if common(inventory).get("sglang_transfer_backend", "mooncake") != "mooncake":
        return None
    args = {**(common(inventory).get("sglang_args") or {}), "disaggregation-ib-device": "mlx5_77"}
    return Slip({"sglang_args": args}, ("rdma.device-unknown",), "sglang_args.disaggregation-ib-device")


@mutation
def gpus_of_a_quarter(draw: Draw, inventory: Inventory) -> Slip | None:
    gpu, model = common(inventory).get("sglang_gpu") or {}, common(inventory)["sglang_model"]
    if not (gpu.get("memory_gib") and model.get("config")):
        return None
    return Slip({"sglang_gpu": {**gpu, "memory_gib": 6}}, ("capacity.weights",), r"sglang_pools\.\w+\.tp")
