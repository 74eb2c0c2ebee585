# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources that other programs speak with: object stores by rclone, the hub by huggingface_hub. Secrets are in their environment alone."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from typing import IO, Any, Dict, List, Optional, Sequence, cast

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.source import BLOCK, File, NotYetError, Progress, Source, sums

TAIL = 600
LOOK_SECONDS = 300
POLL_SECONDS = 1.0


def hidden(text: str, secrets: Sequence[str]) -> str:
    """Return the end of what a program said, without secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "********")
    return " ".join(text.split())[-TAIL:]


class Program(Source):
    """A source that a program reads.

    :param environment: what the program gets besides PATH, HOME, proxies and the like.
    :cvar absent: what its absence means.
    """

    absent = ModelError

    def __init__(self, said: str, command: Sequence[str], environment: Dict[str, str], secrets: Sequence[str], fix: str) -> None:
        super().__init__(said)
        self._command, self._secrets, self._fix = list(command), list(secrets), fix
        self._environment = {**os.environ, **environment}

    def _failed(self, status: int, said: str) -> ModelError:
        name = os.path.basename(self._command[0])
        return ModelError(self.said, f"{name} ended with status {status}: {hidden(said, self._secrets)}", self._fix)

    def _ask(self, words: Sequence[str], given: str = "") -> str:
        """Return what the program writes."""
        try:
            done = subprocess.run(
                [*self._command, *words], input=given, capture_output=True, text=True, timeout=LOOK_SECONDS, env=self._environment,
                check=False,
            )
        except FileNotFoundError as error:
            raise self.absent(self.said, f"{self._command[0]} is not on this host", self._fix) from error
        except subprocess.TimeoutExpired as error:
            raise ModelError(self.said, f"no answer within {LOOK_SECONDS} s", self._fix) from error
        if done.returncode:
            raise self._failed(done.returncode, done.stderr)
        return done.stdout


class ObjectStore(Program):
    """A directory of a bucket, read by rclone (1.53 or later: C(cat --offset) goes on with a part).

    :param settings: rclone's settings of its S3 backend (C(endpoint), C(provider), C(region), C(access_key_id), ...).
    """

    def __init__(self, bucket: str, prefix: str, settings: Dict[str, str], program: str = "rclone") -> None:
        environment = {f"RCLONE_S3_{name.upper()}": value for name, value in settings.items() if value}
        environment["RCLONE_CONFIG"] = os.devnull
        secrets = [settings.get(name, "") for name in ("access_key_id", "secret_access_key", "session_token")]
        fix = "install rclone, and check model_origin and the keys"
        command = [program, "--retries=3", "--low-level-retries=5"]
        # rclone refuses this variable of Amazon's library (seen with 1.60) and has an option of its own.
        authorities = os.environ.get("AWS_CA_BUNDLE", "")
        command += [f"--ca-cert={authorities}"] if authorities else []
        super().__init__(f"s3://{bucket}/{prefix}".rstrip("/"), command, environment, secrets, fix)
        self._environment.pop("AWS_CA_BUNDLE", None)
        self._place = f":s3:{bucket}/{prefix}".rstrip("/")

    def listing(self) -> List[File]:
        """Return the files of SHA256SUMS with the sizes that the store says."""
        digests = sums(self._ask(["cat", f"{self._place}/{directory.SUMS}"]), self.said)
        if not digests:
            raise ModelError(self.said, f"there is no {directory.SUMS}", "put the model there together with its SHA256SUMS")
        rows = json.loads(self._ask(["lsjson", "--recursive", "--files-only", "--no-mimetype", "--no-modtime", self._place]))
        sizes = {str(row["Path"]): int(row["Size"]) for row in rows}
        missing = sorted(set(digests) - set(sizes))
        if missing:
            raise ModelError(self.said, f"{directory.SUMS} names what is not there: {', '.join(missing[:5])}", "complete the bucket")
        return [File(name, sizes[name], digest) for name, digest in sorted(digests.items())]

    def fetch(self, file: File, target: str, progress: Progress) -> None:
        """Write the rest of a file."""
        with open(target, "ab") as output:
            words = [*self._command, "cat", f"--offset={output.tell()}", f"{self._place}/{file.name}"]
            with tempfile.TemporaryFile() as said, subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=said, stdin=subprocess.DEVNULL, env=self._environment,
            ) as process:
                pipe = cast(IO[bytes], process.stdout)
                try:
                    for block in iter(lambda: pipe.read(BLOCK), b""):
                        output.write(block)
                        progress(len(block))
                except BaseException:
                    process.kill()
                    raise
                status = process.wait()
                said.seek(0)
                text = said.read().decode("utf-8", "replace")
        if status:
            raise self._failed(status, text)


class Hub(Program):
    """A repository of the hub at one commit, read by huggingface_hub in a Python that has it.

    :param program: text of the program that speaks with the library.
    :param settings: C(repo), C(revision), C(endpoint).
    """

    # The Python is that of a stack, which the stage before installs.
    absent = NotYetError

    def __init__(self, python: str, program: str, settings: Dict[str, str], token: str) -> None:
        environment = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "0", "PYTHONNOUSERSITE": "1"}
        if token:
            environment["HF_TOKEN"] = token
        if settings.get("endpoint"):
            environment["HF_ENDPOINT"] = settings["endpoint"]
        fix = "check model_origin, model_hub_python and model_token, then run again: it goes on with what has come"
        super().__init__(f"{settings['repo']}@{settings['revision']}", [python, "-c", program], environment, [token], fix)
        self._settings = {"repo": settings["repo"], "revision": settings["revision"]}

    def _do(self, **more: Any) -> Any:
        return json.loads(self._ask([], json.dumps({**self._settings, **more})))

    def listing(self) -> List[File]:
        """Return the files of the commit: SHA-256 of the large ones, git's SHA-1 of the others."""
        found = self._do(do="list")
        if found["commit"] != self._settings["revision"]:
            problem = f"{self._settings['revision']!r} is a name that may mean something else tomorrow"
            raise ModelError(self.said, problem, f"write the commit that it is now: revision: {found['commit']}")
        return [File(row["name"], row["size"], row["sha256"], row["blob"]) for row in found["files"]]

    def fetch(self, file: File, target: str, progress: Progress) -> None:
        """Fetch a file by the library, which keeps what has come of it beside target until it is whole."""
        work = self._work(target)
        words = {**self._settings, "do": "fetch", "name": file.name, "directory": work}
        counted = self.came(target)
        with subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment,
        ) as process:
            given: Optional[str] = json.dumps(words)
            said: Optional[str] = None
            try:
                while said is None:
                    try:
                        said = process.communicate(given, POLL_SECONDS)[1]
                    except subprocess.TimeoutExpired:
                        given = None
                        there = min(self.came(target), file.size)
                        progress(max(0, there - counted))
                        counted = max(counted, there)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise self._failed(process.returncode, said)
        os.replace(os.path.join(work, file.name), target)
        shutil.rmtree(work)
        progress(file.size - counted)

    @staticmethod
    def _work(target: str) -> str:
        return target + ".hub" + directory.PART

    def came(self, target: str) -> int:
        """Return the bytes that the library has of a file, wherever below its directory it keeps them."""
        found = super().came(target)
        for place, _folders, names in os.walk(self._work(target)):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    status = os.lstat(os.path.join(place, name))
                    # A file may have its length before it has its bytes.
                    found += min(status.st_size, status.st_blocks * 512)
        return found
