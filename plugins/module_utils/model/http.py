# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror directory by HTTP: the model's files beside a SHA256SUMS, fetched by range so that a part is gone on with."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.parse
from typing import Any, Dict, List

from ansible.module_utils.urls import open_url

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import BLOCK, File, Progress, Source, checked, sums

ATTEMPTS = 5
FIRST_PAUSE = 0.5
TIMEOUT = 60
# Answers that another attempt does not change.
FINAL = (400, 401, 403, 404, 405, 410, 416)
FIXES = {
    401: "give a token (model_token)", 403: "give a token that may read it (model_token)",
    404: "complete the mirror, or correct model_origin.url",
}
SUMS_LIMIT = 64 << 20


class Mirror(Source):
    """A directory of a web server.

    :param token: for C(Authorization: Bearer), which is not sent on to another host that it points to; empty for none.
    """

    def __init__(self, url: str, token: str = "", pause: float = FIRST_PAUSE) -> None:
        super().__init__(url)
        self._url, self._token, self._pause = url.rstrip("/") + "/", token, pause

    def _open(self, name: str, method: str = "GET", start: int = 0) -> Any:
        headers = {"Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if start:
            headers["Range"] = f"bytes={start}-"
        return open_url(
            self._url + urllib.parse.quote(name), method=method, headers=headers, timeout=TIMEOUT, unredirected_headers=["Authorization"],
            http_agent="railyard.sglang", decompress=False, use_netrc=False,
        )

    def _failed(self, name: str, error: Exception) -> ModelError:
        if isinstance(error, urllib.error.HTTPError):
            fix = FIXES.get(error.code, "look at the server")
            return ModelError(self._url + name, f"the server answers {error.code} {error.reason}", fix)
        fix = "look at the server and the way to it, then run again: it goes on with what has come"
        return ModelError(self._url + name, f"it cannot be fetched: {getattr(error, 'reason', error)}", fix)

    def _try(self, name: str, work: Any) -> Any:
        for attempt in range(ATTEMPTS):
            try:
                return work()
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
                if attempt == ATTEMPTS - 1 or (isinstance(error, urllib.error.HTTPError) and error.code in FINAL):
                    raise self._failed(name, error) from error
                time.sleep(self._pause * 2**attempt)
        raise AssertionError

    def listing(self) -> List[File]:
        """Return the files of SHA256SUMS with the sizes that the server says."""

        def read() -> str:
            with self._open(directory.SUMS) as stream:
                return str(stream.read(SUMS_LIMIT).decode("utf-8", "replace"))

        digests: Dict[str, str] = sums(self._try(directory.SUMS, read), self.said)
        checked([File(name, 0) for name in digests], self.said)

        def size(name: str) -> int:
            with self._open(name, "HEAD") as stream:
                found = stream.headers.get("Content-Length", "")
            if not found.isdigit():
                raise ModelError(self._url + name, "the server does not say how long it is", "let it send Content-Length")
            return int(found)

        return [File(name, self._try(name, lambda name=name: size(name)), digest) for name, digest in sorted(digests.items())]

    def fetch(self, file: File, target: str, progress: Progress) -> None:
        """Write the rest of a file."""

        def rest() -> None:
            with open(target, "ab") as output:
                start = output.tell()
                if start >= file.size:
                    return
                with self._open(file.name, start=start) as stream:
                    if start and stream.status != 206:
                        # This server knows no ranges: from the beginning.
                        output.truncate(0)
                    for block in iter(lambda: stream.read(BLOCK), b""):
                        output.write(block)
                        progress(len(block))
                    if output.tell() < file.size:
                        raise http.client.IncompleteRead(b"", file.size - output.tell())

        self._try(file.name, rest)
