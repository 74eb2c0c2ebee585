# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was once judged wrongly: causes below their tracebacks, planned stops, payloads, the world outside, and what is no fault at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.diagnose import catalogue, diagnosis, page
from ansible_collections.railyard.sglang.tests.unit.support.doctorlogs import arguments, diagnosed, ids, stamped, write

READY = "The server is fired up and ready to roll!"
SERVED = 'INFO:     198.51.100.1:5000 - "POST /v1/chat/completions HTTP/1.1" 200 OK'
STARTING = (
    'INFO smg::server: Starting router on 198.51.100.30:8000 | mode: PrefillDecode { prefill_urls: [("http://203.0.113.10:30000", '
    'Some(8998))], decode_urls: ["http://203.0.113.20:30001"], prefill_policy: None }'
)
ROUTED = (
    'INFO http_request{method=POST uri=/v1/chat/completions version=HTTP/1.1 module="smg" request_id="x" status_code=200 latency=9}: done'
)
TRACE = "Scheduler hit an exception: Traceback (most recent call last):"
FRAME = '  File "/opt/sglang/venv/lib/python3.12/site-packages/sglang/srt/managers/scheduler.py", line 2711, in run_scheduler_process'


@pytest.fixture(scope="module")
def loaded() -> catalogue.Catalogue:
    return catalogue.load()


def raw(second: float, text: str, host: str, program: str = "python[7]") -> str:
    """Return a line that the program wrote without a time of its own."""
    head = stamped(second, "", host)
    return f"{head.split(' ')[0]} {host} {program}: {text}"


def engine(name: str, /, *lines: str, second: float = 0, **values: object) -> list[str]:
    return [stamped(second + number, text, name) for number, text in enumerate([arguments(**values), *lines])]


def decode(*lines: str, **values: object) -> list[str]:
    return engine("d0", *lines, **{"host": "203.0.113.20", "port": 30001, "disaggregation_mode": "decode", **values})


def router(*lines: tuple[float, str]) -> list[str]:
    return [stamped(second, text, "r0") for second, text in [(1.0, STARTING), *lines]]


def crashed(last: str, host: str = "p0", second: float = 60) -> list[str]:
    return [stamped(second, TRACE, host), raw(second, FRAME, host), raw(second, "    event_loop()", host), raw(second, last, host)]


REASONS = (
    (
        "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/ProcessGroupNCCL.cpp:3690, remote process exited",
        "G07",
    ),
    ("RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [203.0.113.11]:53112", "L22"),
    (
        "DistNetworkError: The client socket has timed out after 600000ms while trying to connect to (203.0.113.10, 5000).",
        "L34",
    ),
    ("RuntimeError: DeepEP error: CPU recv timeout", "D24"),
    ("FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp', '/var/tmp', '/usr/tmp', '/var/lib/sglang']", "L29"),
)


@pytest.mark.parametrize(("last", "wanted"), REASONS, ids=[row[1] for row in REASONS])
@pytest.mark.parametrize("form", ["journal", "plain"])
def test_the_reason_stands_below_its_traceback(last: str, wanted: str, form: str, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    lines = [*engine("p0", READY), *crashed(last)]
    if form == "plain":
        lines = [line.partition("[7]: ")[2] for line in lines]
    found = diagnosed(write(tmp_path, prefill=lines), loaded)
    assert ids(found) == [wanted, "L24"]
    assert {finding.id: finding.parent for finding in found.findings}["L24"] == wanted


def test_a_crash_elsewhere_is_the_cause_of_what_its_partner_says(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    shared = {"nnodes": 2, "dist_init_addr": "203.0.113.10:5000"}
    lost = crashed("RuntimeError: [../gloo/transport/tcp/pair.cc:534] Connection closed by peer [203.0.113.11]:53112", second=64)
    logs = {
        "prefill_0_rank0": [*engine("p0", READY, **shared), *lost],
        "prefill_0_rank1": [*engine("p1", READY, host="203.0.113.11", node_rank=1, **shared), *crashed("KeyError: 'x'", "p1", 60)],
    }
    found = diagnosed(write(tmp_path, **logs), loaded)
    assert ids(found) == ["L24", "L22"]
    assert found.first is not None
    assert found.first.host == "p1"


def test_the_line_that_ends_a_traceback_is_shown(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    chained = [
        *crashed("KeyError: 'weights.7'"),
        raw(60, "", "p0"),
        raw(60, "During handling of the above exception, another exception occurred:", "p0"),
        raw(60, "", "p0"),
        raw(60, "Traceback (most recent call last):", "p0"),
        raw(60, FRAME, "p0"),
        raw(60, "sglang.srt.utils.StrangeThing: the moon is in the wrong house", "p0"),
        stamped(61, "Something else: that is said later", "p0"),
    ]
    found = diagnosed(write(tmp_path, prefill=[*engine("p0", READY), *chained]), loaded)
    document = diagnosis.document(found)
    assert ids(found) == ["L24"]
    evidence = document["findings"][0]["places"][0]["evidence"]
    assert [row["text"] for row in evidence][1] == "sglang.srt.utils.StrangeThing: the moon is in the wrong house"
    assert evidence[1]["line"] == evidence[0]["line"] + 9
    assert "the moon is in the wrong house" in page.text(document)


BAD = "server returned error status decode_url=http://203.0.113.20:30001 status="
FAILED = (
    "Prefill transfer failed for request rank=0 req.rid='a' req.bootstrap_room={room} with exception "
    "KVTransferError(bootstrap_room={room}): Failed due to an unknown reason from another rank"
)
TIMED = (
    "WARN smg::core::worker: HTTP health check failed for http://203.0.113.20:30001/health: reqwest::Error {{ kind: Request, source: "
    "TimedOut }} {0}"
)
OUTSIDE = (
    "HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /api/models/x (Caused by ConnectTimeoutError("
    "<urllib3.connection.HTTPSConnection object at 0x7f>, 'Connection to huggingface.co timed out. (connect timeout=10)'))",
    "HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /api/models/x (Caused by NewConnectionError("
    "'<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new connection: [Errno 101] Network is unreachable'))",
    "Transient error HTTPConnectionPool(host='203.0.113.200', port=4318): Max retries exceeded with url: /v1/traces (Caused by "
    "NewConnectionError('<HTTPConnection object at 0x7f>: Failed to establish a new connection: [Errno 113] No route to host'))",
    "HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /x (Caused by "
    "ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403 Forbidden')))",
    "HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /x (Caused by NameResolutionError("
    "\"<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to resolve 'huggingface.co' ([Errno -2] Name or service not known)\"))",
)
PROMPT = (
    "[Errno 28] No space left on device ... CUDA out of memory. Tried to allocate 2.00 GiB ... "
    "Scheduler hit an exception: Traceback (most recent call last)"
)
UP = {"prefill": engine("p0", READY), "decode": decode(READY), "router": router((20, ROUTED))}

NOTHING: dict[str, dict[str, list[str]]] = {
    "one client's bad request": {**UP, "router": router(*[(20.0 + n, ROUTED) for n in range(9)], (30, f"ERROR {BAD}400 Bad Request"))},
    "one failing request of many": {**UP, "router": router(*[(20.0 + n, ROUTED) for n in range(60)], (50.5, f"ERROR {BAD}500"))},
    "the last of many requests failed": {**UP, "router": router(*[(20.0 + n, ROUTED) for n in range(60)], (90, f"ERROR {BAD}500"))},
    "requests and answers in the log": {
        **UP,
        "prefill": engine(
            "p0",
            READY,
            f"Receive: obj=GenerateReqInput(rid='a1', text='{PROMPT}', sampling_params=None)",
            f"Finish: obj=GenerateReqInput(rid='a1', text='{PROMPT}'), out={{'text': '{PROMPT}', 'meta_info': {{}}}}",
            f"Receive OpenAI: obj={{'model': 'x', 'messages': [{{'role': 'user', 'content': '{PROMPT}'}}]}}",
            f"out={{'text': '{PROMPT}'}}",
            SERVED,
        ),
    },
    "another program without memory": {
        **UP,
        "prefill": [
            *UP["prefill"],
            raw(30, "Memory cgroup out of memory: Killed process 99812 (node_exporter) total-vm:2kB", "p0", "kernel"),
            raw(31, "user@1000.service: Failed with result 'oom-kill'.", "p0", "systemd[1]"),
            raw(31, "user@1000.service: A process of this unit has been killed by the OOM killer.", "p0", "systemd[1]"),
        ],
    },
    "services of the host": {
        **UP,
        "prefill": [
            *UP["prefill"],
            raw(30, "Failed to allocate directory watch: Too many open files", "p0", "systemd[1]"),
            raw(31, "E1120 06:00:31.1 failed to create fsnotify watcher: too many open files", "p0", "kubelet[900]"),
            raw(31, "inotify_add_watch /sys/fs/cgroup/x: No space left on device", "p0", "kubelet[900]"),
        ],
    },
    "the clock is set after the boot": {
        **UP,
        "all": [
            raw(-60, "System clock wrong by 1.724583 seconds", "p0", "chronyd[640]"),
            raw(-60, "System clock was stepped by 1.724583 seconds", "p0", "chronyd[640]"),
        ],
    },
    "NCCL on one host": {
        **UP,
        "prefill": engine(
            "p0", "p0:7:7 [0] NCCL INFO NET/IB : No device found.", "p0:7:7 [0] NCCL INFO Using network Socket", READY, nnodes=1
        ),
    },
    "a port that nobody named": {
        **UP,
        "prefill": engine(
            "p0", "W1120 rdma_context.cpp:540] Device mlx5_bond_0 port not active", READY, disaggregation_ib_device="mlx5_0,mlx5_1"
        ),
    },
    "a port that nobody named, of all": {
        **UP,
        "prefill": engine("p0", "W1120 rdma_context.cpp:540] Device mlx5_bond_0 port not active", READY),
    },
    "an engine that logs warnings only": {
        "prefill": [
            stamped(0, arguments(), "p0"),
            stamped(9, "Custom allreduce is disabled because this process group spans across nodes.", "p0"),
        ],
        "decode": decode(READY),
        "router": router(*[(60.0 + 10 * n, ROUTED) for n in range(30)]),
    },
    "health checks that time out now and then": {
        **UP,
        "router": router(
            *[row for n in range(3) for row in ((600.0 * n + 100, TIMED.format("")), (600.0 * n + 110, ROUTED))], (2400, ROUTED)
        ),
    },
    "health checks that timed out for a while": {
        **UP,
        "router": router((90, ROUTED), *[(100.0 + 20 * n, TIMED.format("")) for n in range(4)], (200, ROUTED), (2400, ROUTED)),
    },
    "auto and bfloat16": {"prefill": engine("p0"), "decode": decode(kv_cache_dtype="bfloat16")},
    "a model by two spellings": {
        "prefill": engine("p0", model_path="deepseek-ai/DeepSeek-R1"),
        "decode": decode(model_path="/models/deepseek-r1/"),
    },
    "a model in the hub's cache": {
        "prefill": engine("p0", model_path="/cache/hub/models--deepseek-ai--DeepSeek-R1/snapshots/0a1b2c3d"),
        "decode": decode(model_path="deepseek-ai/DeepSeek-R1"),
    },
    "two routed networks": {
        "prefill": engine("p0", "P2P handshake, listening on 203.0.113.10:1"),
        "prefill_1": engine("p1", "P2P handshake, listening on 203.0.113.11:1", host="203.0.113.11"),
        "decode": decode("P2P handshake, listening on 198.51.100.20:1", host="198.51.100.20"),
    },
    "served although page sizes differ": {**UP, "decode": decode(READY, page_size=64)},
    "a link that was down for a moment": {
        **UP,
        "p0_kernel": [
            raw(40, "mlx5_core 0000:18:00.0 eth3: Link down", "p0", "kernel"),
            raw(42, "mlx5_core 0000:18:00.0 eth3: Link up", "p0", "kernel"),
        ],
    },
    "a port without a cable": {
        **UP,
        "p0_kernel": [raw(-90, "mlx5_core 0000:18:00.1: Port module event: module 1, Cable unplugged", "p0", "kernel")],
    },
    **{f"outside {number}": {**UP, "prefill": engine("p0", READY, text, SERVED)} for number, text in enumerate(OUTSIDE)},
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_fault(name: str, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    found = diagnosed(write(tmp_path, **NOTHING[name]), loaded)
    assert ids(found) == []


NOTES = (
    ("one client's bad request", "R06"),
    ("another program without memory", "L18"),
    *((f"outside {number}", "L17") for number in range(len(OUTSIDE))),
    ("one failing request of many", "R01"),
    ("a port that nobody named", "D18"),
    ("served although page sizes differ", "L05"),
)


@pytest.mark.parametrize(("name", "note"), NOTES)
def test_what_is_worth_a_note(name: str, note: str, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    found = diagnosed(write(tmp_path, **NOTHING[name]), loaded)
    assert note in {finding.id for finding in found.findings}


FAULTS: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "every request fails": (["R01"], {**UP, "router": router(*[(20.0 + n, f"ERROR {BAD}500") for n in range(9)])}),
    "requests fail since some time": (["R01"], {**UP, "router": router((20, ROUTED), *[(30.0 + n, f"ERROR {BAD}500") for n in range(9)])}),
    "hundreds fail without a reason": (
        ["L25"],
        {**UP, "prefill": [*engine("p0", READY), *(stamped(60 + n, FAILED.format(room=1000 + n), "p0") for n in range(300))]},
    ),
    "an engine does not answer any more": (
        ["L14"],
        {**UP, "router": router((90, ROUTED), *[(100.0 + 20 * n, TIMED.format("")) for n in range(9)])},
    ),
    "one engine is silent while another serves": (
        ["D05"],
        {
            "prefill": [stamped(0, arguments(), "p0"), stamped(9, "Custom allreduce is disabled because it is so.", "p0")],
            "decode": decode(READY),
            "router": router(
                *[(60.0 + 10 * n, ROUTED) for n in range(30)],
                (400, 'WARN smg: HTTP health check failed for http://203.0.113.10:30000/health: reqwest "Connection refused"'),
            ),
        },
    ),
    "an FP8 cache on one side": (["L06"], {**UP, "decode": decode(READY, kv_cache_dtype="fp8_e4m3")}),
    "one network too many among its kind": (
        ["L12"],
        {
            "prefill": engine("p0", "P2P handshake, listening on 203.0.113.10:1"),
            "prefill_1": engine("p1", "P2P handshake, listening on 198.51.100.11:1", host="203.0.113.11"),
            "decode": decode("P2P handshake, listening on 203.0.113.20:1"),
        },
    ),
    "NCCL between hosts": (
        ["D34"],
        {"prefill": engine("p0", "p0:7:7 [0] NCCL INFO Using network Socket", nnodes=2, dist_init_addr="203.0.113.10:5000")},
    ),
    "a link that comes and goes": (
        ["L50"],
        {
            **UP,
            "p0_kernel": [
                raw(40 + 10 * n + up, f"mlx5_core 0000:18:00.0 eth3: Link {'up' if up else 'down'}", "p0", "kernel")
                for n in range(4)
                for up in (0, 2)
            ],
        },
    ),
    "the port of the plan": (
        ["D18"],
        {
            **UP,
            "prefill": engine(
                "p0", "W1120 rdma_context.cpp:540] Device mlx5_1 port not active", READY, disaggregation_ib_device="mlx5_0,mlx5_1"
            ),
        },
    ),
    "NCCL's symbol beside PyTorch": (
        ["D22"],
        {"prefill": engine("p0", "ImportError: /opt/venv/lib/torch/lib/libtorch_cuda.so: undefined symbol: ncclCommWindowRegister")},
    ),
    "another symbol version": (
        ["D21"],
        {"prefill": engine("p0", "ImportError: /lib64/libgomp.so.1: version `GOMP_5.0' not found (required by /opt/venv/x.so)")},
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_a_fault_all_the_same(name: str, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    wanted, logs = FAULTS[name]
    assert ids(diagnosed(write(tmp_path, **logs), loaded)) == wanted


LOST = "Losing connection with prefill instance (bootstrap_addr: 203.0.113.10:8998), 0 requests affected"
BROKEN = "ERROR smg: Prefill server failed (CRITICAL) prefill_url=http://203.0.113.10:30000, error=connection closed"


def test_a_planned_restart_of_a_peer_is_no_fault(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    def logs(*stop: str) -> dict[str, list[str]]:
        again = engine("p0", READY, SERVED, second=140)
        return {
            "prefill": [*engine("p0", READY, SERVED), *stop, *again],
            "decode": [*decode(READY, SERVED), stamped(111, LOST, "d0"), stamped(200, SERVED, "d0")],
            "router": router((20, ROUTED), (108, BROKEN), (200, ROUTED)),
        }

    stop = [
        raw(100, "Stopping sglang-prefill-0.service - SGLang", "p0", "systemd[1]"),
        raw(110, "Stopped sglang-prefill-0.service", "p0", "systemd[1]"),
    ]
    assert ids(diagnosed(write(tmp_path / "a", **logs(*stop)), loaded)) == []
    assert set(ids(diagnosed(write(tmp_path / "b", **logs()), loaded))) == {"L23", "R02"}


def test_a_slow_stop_lasts_until_it_is_over(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    def logs(*stop: str) -> dict[str, list[str]]:
        return {"prefill": [*engine("p0", READY, SERVED), *stop]}

    begin = raw(100, "Stopping sglang-prefill-0.service - SGLang", "p0", "systemd[1]")
    late = raw(701, "sglang-prefill-0.service: State 'stop-sigterm' timed out. Killing.", "p0", "systemd[1]")
    killed = raw(702, "sglang-prefill-0.service: Main process exited, code=killed, status=9/KILL", "p0", "systemd[1]")
    stopped = raw(703, "Stopped sglang-prefill-0.service - SGLang", "p0", "systemd[1]")
    assert ids(diagnosed(write(tmp_path / "a", **logs(begin, late, killed, stopped)), loaded)) == []
    assert ids(diagnosed(write(tmp_path / "b", **logs(begin, killed, stopped)), loaded)) == []
    assert ids(diagnosed(write(tmp_path / "c", **logs(late, killed)), loaded)) == []
    assert ids(
        diagnosed(write(tmp_path / "d", **logs(begin, stopped, raw(720, killed.partition(": ")[2], "p0", "systemd[1]"))), loaded)
    ) == ["L20"]
    assert ids(diagnosed(write(tmp_path / "e", **logs(killed)), loaded)) == ["L20"]


def test_clusters_are_not_compared_with_each_other(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    other = STARTING.replace("203.0.113.10", "198.51.100.10").replace("203.0.113.20", "198.51.100.20")
    logs = {
        **UP,
        "p8": engine("p8", host="198.51.100.10", model_path="/models/other", page_size=64),
        "d8": engine("d8", host="198.51.100.20", port=30001, model_path="/models/other", page_size=64, disaggregation_mode="decode"),
        "r8_router": [stamped(1, other, "r8")],
    }
    assert ids(diagnosed(write(tmp_path / "a", **logs), loaded)) == []
    logs["d8"] = engine("d8", host="198.51.100.20", port=30001, model_path="/models/other", page_size=1, disaggregation_mode="decode")
    found = diagnosed(write(tmp_path / "b", **{**logs, "router": router()}), loaded)
    assert [(finding.id, finding.host) for finding in found.findings if finding.severity != catalogue.NOTE] == [("L05", "d8")]


PEERS = (
    ("[203.0.113.11]:53112", "203.0.113.11"),
    ("203.0.113.11:53112", "203.0.113.11"),
    ("203.0.113.11<53112>", "203.0.113.11"),
    ("203.0.113.11.", "203.0.113.11"),
    ("[2001:db8::11]:53112", "2001:db8::11"),
    ("gpu-7.example.net, retrying", "gpu-7.example.net"),
)


@pytest.mark.parametrize(("text", "peer"), PEERS)
def test_the_whole_address_of_a_peer(text: str, peer: str, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    line = f"RuntimeError: [../gloo/transport/tcp/pair.cc:534] Connection closed by peer {text}"
    found = diagnosed(write(tmp_path, prefill=engine("p0", line)), loaded)
    assert found.first is not None
    assert (found.first.id, found.first.groups["peer"]) == ("L22", peer)


UNKNOWN = (
    "torch.compile.StrangeError: what is this",
    "E1120 06:00:09.507911   512 new_place.cpp:12] Something that nobody knows: Failed to do it",
    "my-llm.service: Main process exited, code=exited, status=9/n/a",
)


@pytest.mark.parametrize("line", UNKNOWN)
def test_an_unknown_error_is_shown(line: str, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path, host7=[raw(9, line, "p0", "systemd[1]" if "service" in line else "python[7]")])
    document = diagnosis.document(diagnosed(path, loaded))
    assert any(line in row["text"] for row in document["unknown_errors"])


SECRETS = (
    "RuntimeError: --api-key sk-abcdef0123456789 --port 30000",
    "launch_server.py: error: unrecognized arguments: --foo --admin-api-key=topsecret",
    "KeyError: api_key='topsecret', port=1",
    "RuntimeError: Authorization: Bearer topsecret0123456789",
    "RuntimeError: hub says no to hf_topsecret0123456789abc",
    "RuntimeError: HF_TOKEN=topsecret",
    "RuntimeError: http://user:topsecret@proxy.example.net:3128 refused",
)


@pytest.mark.parametrize("line", SECRETS)
def test_secrets_are_not_repeated(line: str, loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    path = write(tmp_path, prefill=[stamped(0, line, "p0"), *crashed(line, second=1)])
    document = diagnosis.document(diagnosed(path, loaded))
    for text in (json.dumps(document), page.text(document)):
        assert "topsecret" not in text
        assert "sk-abcdef" not in text
        assert "***" in text


def test_what_is_no_secret_stays(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    line = "RuntimeError: max_tokens=5, tokenizer_path='/opt/m', api_key=None, --max-total-tokens 77, basic auth"
    document = diagnosis.document(diagnosed(write(tmp_path, prefill=[stamped(0, line, "p0")]), loaded))
    assert document["unknown_errors"][0]["text"].endswith(line)


def test_a_probe_goes_to_where_the_engine_listens(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    logs = {**UP, "decode": decode("Page size mismatch: prefill server has page_size=1, but decode server has page_size=64", READY)}
    document = diagnosis.document(diagnosed(write(tmp_path, **logs), loaded))
    assert document["findings"][0]["probe"]["command"] == "curl -sS -m 5 http://203.0.113.20:30001/server_info"


def test_a_request_longer_than_a_block_is_none_of_it(loaded: catalogue.Catalogue, tmp_path: Path) -> None:
    long = f"Receive: obj=GenerateReqInput(rid='a1', text='{'word ' * 900_000}{PROMPT}', sampling_params=None)"
    path = write(tmp_path, prefill=engine("p0", READY, long, SERVED), decode=decode(READY))
    assert ids(diagnosed(path, loaded)) == []
    (tmp_path / "prefill.log").write_text(
        "\n".join([*engine("p0", READY, long, "OSError: [Errno 28] No space left on device")]) + "\n", encoding="utf-8"
    )
    assert ids(diagnosed(path, loaded)) == ["L29"]
