# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Speaks with the hub by huggingface_hub (0.23 to 1.x), for the module model: one JSON request in, one JSON answer out.

The token and the hub's address come in the library's own variables, HF_TOKEN and HF_ENDPOINT.
"""

import json
import sys

from huggingface_hub import HfApi, hf_hub_download


def listing(given):
    """Return the commit of a revision, and its files with what the hub knows of their content."""
    found = HfApi().model_info(given["repo"], revision=given["revision"], files_metadata=True)
    rows = []
    for row in found.siblings:
        large = row.lfs
        digest = (large.get("sha256") if isinstance(large, dict) else getattr(large, "sha256", "")) if large else ""
        rows.append({"name": row.rfilename, "size": row.size, "sha256": digest or "", "blob": "" if digest else row.blob_id or ""})
    return {"commit": found.sha, "files": rows}


def fetch(given):
    """Fetch one file into a directory; what an earlier call left of it there is gone on with."""
    hf_hub_download(given["repo"], given["name"], revision=given["revision"], local_dir=given["directory"])
    return {}


def main():
    """Answer one request."""
    given = json.load(sys.stdin)
    json.dump(listing(given) if given["do"] == "list" else fetch(given), sys.stdout)


if __name__ == "__main__":
    main()
