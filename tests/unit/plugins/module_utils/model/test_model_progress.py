# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The count of bytes while several files are fetched at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from ansible_collections.railyard.sglang.plugins.module_utils.model.progress import Meter


def test_no_byte_is_lost_between_threads(tmp_path: Path) -> None:
    def slow_clock() -> float:
        # Lets every other thread in while this one is between reading the sum and writing it.
        time.sleep(0.001)
        return time.monotonic()

    meter = Meter(str(tmp_path), 800, slow_clock)
    threads = [threading.Thread(target=lambda: [meter.add(10) for _count in range(10)]) for _thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.done == 800
    assert meter.state()["total_bytes"] == 800
