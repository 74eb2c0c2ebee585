# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends and receives the pieces of one model with libtorrent, whose Python package belongs to the system's Python (1.2 and 2.0 alike).

The first line of its input is a JSON map of settings; each further one names a peer to connect to, {"connect": [ADDRESS, PORT]}. It
writes one JSON line with its state at least once a second, and ends when its input ends, so that it never outlives who started it.
"""

import base64
import json
import sys
import threading
import time

import libtorrent

INTERVAL = 0.25


def session(given):
    """Return a session that is bound to one address, asks nobody for peers and speaks with the hosts that are named only."""
    made = libtorrent.session({
        "listen_interfaces": "{}:{}".format(bracketed(given["address"]), given["port"]),
        "outgoing_interfaces": given["address"],
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        # Every successor is served at once: nobody here has to be paid for with bytes.
        "unchoke_slots_limit": -1,
        "in_enc_policy": 2,
        "out_enc_policy": 2,
        "max_out_request_queue": 2000,
        "request_queue_time": 3,
        "send_buffer_watermark": 8 << 20,
        "send_buffer_low_watermark": 1 << 20,
        "min_reconnect_time": 1,
        "upload_rate_limit": given["limit"],
        "download_rate_limit": given["limit"],
        "alert_mask": 0,
    })
    allowed = libtorrent.ip_filter()
    allowed.add_rule("0.0.0.0", "255.255.255.255", 1)
    allowed.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1)
    for address in given["peers"]:
        allowed.add_rule(address, address, 0)
    made.set_ip_filter(allowed)
    # Addresses of local networks are by default in a class of their own, too, which no limit holds for: here all are in the global one.
    limited = libtorrent.ip_filter()
    limited.add_rule("0.0.0.0", "255.255.255.255", 1 << made.global_peer_class_id)
    limited.add_rule("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1 << made.global_peer_class_id)
    made.set_peer_class_filter(limited)
    return made


def bracketed(address):
    """Return an address as libtorrent wants it before a port."""
    return f"[{address}]" if ":" in address else address


def add(made, given):
    """Return the handle of the model's torrent."""
    wanted = libtorrent.add_torrent_params()
    wanted.ti = libtorrent.torrent_info(libtorrent.bdecode(base64.b64decode(given["torrent"])))
    wanted.save_path = given["directory"]
    flags = libtorrent.torrent_flags
    wanted.flags &= ~(flags.paused | flags.auto_managed)
    wanted.flags |= flags.sequential_download
    if given["whole"]:
        wanted.flags |= flags.seed_mode
    return made.add_torrent(wanted)


def obey(handle, ended):
    """Read peers to connect to until the input ends."""
    for line in sys.stdin:
        address, port = json.loads(line)["connect"]
        handle.connect_peer((address, port))
    ended.set()


def main():
    """Run until the input ends."""
    given = json.loads(sys.stdin.readline())
    made = session(given)
    handle = add(made, given)
    ended = threading.Event()
    threading.Thread(target=obey, args=(handle, ended), daemon=True).start()
    began = time.monotonic()
    while not ended.is_set():
        status = handle.status()
        row = {
            "done": status.total_wanted_done, "whole": status.is_seeding, "down": status.download_payload_rate,
            "up": status.upload_payload_rate, "sent": status.total_payload_upload, "peers": status.num_peers,
            "checking": str(status.state) == "checking_files", "error": status.errc.message() if status.errc.value() else "",
            "seconds": round(time.monotonic() - began, 1), "version": libtorrent.__version__,
        }
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
        ended.wait(INTERVAL)


if __name__ == "__main__":
    main()
