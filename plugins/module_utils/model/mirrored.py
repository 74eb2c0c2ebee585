# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of a signed mirror, mounted or over HTTP: the list of its files is that of the manifest, once its signature was found good."""

from __future__ import annotations

from typing import List, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.mirror import manifest, sync, transfer
from ansible_collections.railyard.sglang.plugins.module_utils.model import http
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import Directory, File, Progress, Source
from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError


class SignedMirror(Source):
    """A model of a mirror.

    :param base: directory of the mirror on this host, or its address.
    :param signers: public keys of which one has to have signed it.
    :param pinned: whether a checksum says which content is wanted; otherwise the mirror is asked in every run what it has now.
    """

    def __init__(self, base: str, name: str, signers: Sequence[str], pinned: bool) -> None:
        super().__init__(f"model {name} of the mirror {transfer.public(base)}")
        self.near = not pinned
        self._base, self._name, self._signers, self._path = base, name, list(signers), ""

    def listing(self) -> List[File]:
        """Return the files that the manifest names."""
        try:
            data = sync.open_mirror(self._base, self._signers)
        except StackError as error:
            raise ModelError(error.subject, error.problem, error.fix) from error
        row = data.get("models", {}).get(self._name)
        if not row or not manifest.is_safe(str(row.get("path"))):
            fix = "add it to mirror_models and run playbooks/mirror.yml on the connected machine"
            raise ModelError(f"mirror {transfer.public(self._base)}", f"it lacks model {self._name}", fix)
        self._path = str(row["path"])
        start = self._path + "/"
        found = {path[len(start):]: file for path, file in data["files"].items() if path.startswith(start)}
        return [File(name, file["size"], file["sha256"]) for name, file in sorted(found.items())]

    def fetch(self, file: File, target: str, progress: Progress) -> None:
        """Write the rest of a file."""
        if not self._path:
            # A version that is known is mended: where the mirror has its files was not asked yet.
            self.listing()
        place = transfer.join(self._base, self._path)
        source = http.Mirror(place) if transfer.is_url(self._base) else Directory(place)
        source.fetch(file, target, progress)
