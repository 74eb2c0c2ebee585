# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connects from addresses of this machine to ports of others, and tells by JSON what became of each, in their order.

Standard input has the rows, each a source, an address and a port. A row becomes "open"; "refused" where nothing listens, which a filter
has let pass; "closed" where a filter has rejected it, or nobody has answered in time.
"""

from __future__ import annotations

import errno
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

#: A host answers so many rejections a second only; what is asked again has its answer later. An emulated one is slow besides.
SECONDS = 40


def dial(row: list[str]) -> str:
    """Return what becomes of a connection."""
    source, address, port = row
    try:
        socket.create_connection((address, int(port)), SECONDS, (source, 0)).close()
    except ConnectionRefusedError:
        return "refused"
    except OSError as error:
        # An address that is not here, for example, is a fault of the test.
        if isinstance(error, TimeoutError) or error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES):
            return "closed"
        raise
    return "open"


ROWS = json.load(sys.stdin)
with ThreadPoolExecutor(max(1, len(ROWS))) as pool:
    print(json.dumps(list(pool.map(dial, ROWS))))
