# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves bytes between two hosts as SGLang moves a KV cache: its transfer engine, called as it calls it, and nothing else of it.

    kv_transfer.py receive ADDRESS DEVICES BYTES    prints where its memory is; when its input ends, what is in it
    kv_transfer.py send ADDRESS DEVICES BYTES       says that it is ready, reads such a line, writes there, prints what it sent

The calls are those of SGLang 0.5.8 (srt/disaggregation/mooncake/transfer_engine.py and conn.py): the protocol is always "rdma", an
empty device name where the flag is missing, memory is registered in batches, prefill writes. Every line printed is one JSON object.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import os
import sys
import time
from typing import Any

# One buffer per layer, as a KV pool has.
LAYERS = 8


class Memory:
    """Registered memory."""

    def __init__(self, engine: Any, size: int) -> None:
        self.pages = [mmap.mmap(-1, size // LAYERS) for _layer in range(LAYERS)]
        self.pointers = [ctypes.addressof(ctypes.c_char.from_buffer(page)) for page in self.pages]
        self.lengths = [len(page) for page in self.pages]
        self.registered = engine.batch_register_memory(self.pointers, self.lengths)

    def digests(self) -> list[str]:
        """Return the hash of each layer."""
        return [hashlib.sha256(page[:]).hexdigest() for page in self.pages]


def say(**values: Any) -> None:
    """Print a line that the test reads."""
    print(json.dumps(values), flush=True)


def receive(engine: Any, memory: Memory, address: str) -> None:
    """Say where the memory is, and when the input ends what is in it."""
    say(session=f"{address}:{engine.get_rpc_port()}", pointers=memory.pointers, lengths=memory.lengths)
    sys.stdin.read()
    say(digests=memory.digests())


def send(engine: Any, memory: Memory) -> None:
    """Write random bytes to where a line of the input says."""
    for page in memory.pages:
        page[:] = os.urandom(len(page))
    say(ready=True)
    peer = json.loads(sys.stdin.readline())
    begin = time.monotonic()
    result = engine.batch_transfer_sync_write(peer["session"], memory.pointers, peer["pointers"], memory.lengths)
    say(result=result, seconds=round(time.monotonic() - begin, 3), digests=memory.digests())


def main(role: str, address: str, devices: str, size: str) -> int:
    """Start the engine and do one of the two."""
    from mooncake.engine import TransferEngine

    engine = TransferEngine()
    started = engine.initialize(address, "P2PHANDSHAKE", "rdma", devices)
    if started != 0:
        say(error=f"the transfer engine did not start: {started}")
        return 1
    memory = Memory(engine, int(size))
    if memory.registered != 0:
        say(error=f"the memory was not registered: {memory.registered}")
        return 1
    if role == "receive":
        receive(engine, memory, address)
    else:
        send(engine, memory)
    sys.stdout.flush()
    # The engine's threads may wait for the peer; nothing is left to be written.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
