# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module model: a model directory on the host, whole and known by its checksum."""

from __future__ import annotations

DOCUMENTATION = r"""
module: model
short_description: Provide a model directory and prove that it is whole
version_added: 0.1.0
description:
  - With O(source=path) the directory must be there already. Every weight file's length is compared with what its own header promises, so
    a truncated or missing shard is found in milliseconds, and the checksum is compared where one is given.
  - With O(source=tiny) the collection's own tiny model is written - a two-layer Llama with real random weights, the same bytes on every
    host - and repaired where a file was damaged. A mark tells its directory from others, and what is not its own is left alone.
  - With O(origin) the model is fetched into a version of its own beside O(path), verified, and O(path) becomes a link to it by a rename,
    so what is incomplete is never current. What was interrupted at any point goes on in the next run; of a damaged model only the damaged
    files are fetched. A version that is whole is not read again as long as size, time and inode of its files are those of its record.
  - A directory is written beside its final place and renamed, so a half-written model never has the final name.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: full
options:
  path:
    description: Directory of the model on the host.
    type: path
    required: true
  source:
    description: Where the model comes from.
    type: str
    choices: [path, tiny]
    default: path
  checksum:
    description:
      - SHA-256 over the sorted lines C(SHA256  NAME) of all files of the directory, as RV(checksum) returns it. Empty skips the comparison
        and, for O(source=path), reading the weights.
    type: str
    default: ''
  origin:
    description: Where to fetch the model from, with O(source=path). Without it nothing is fetched.
    type: dict
    suboptions:
      type:
        description:
          - V(directory) is a directory that the host can read, also on NFS; V(mirror) a mirror that M(railyard.sglang.mirror) has
            published, whose signature is checked; V(http) a directory of a web server; V(s3) one of an object
            store, read by rclone; V(hub) a repository of the Hugging Face hub, read by huggingface_hub.
          - V(http) and V(s3) have a C(SHA256SUMS) with every file of the model, and O(checksum) is required. In a V(directory) it is
            used if it is there.
        type: str
        choices: [directory, mirror, http, s3, hub]
        required: true
      name:
        description: Name of the model in the V(mirror).
        type: str
      path:
        description: Directory of V(directory).
        type: path
      url:
        description: Address of V(http).
        type: str
      bucket:
        description: Bucket of V(s3).
        type: str
      prefix:
        description: Directory in the bucket.
        type: str
      endpoint:
        description: Address of the object store or of a mirror of the hub, where it is not the usual one.
        type: str
      region:
        description: Region of V(s3).
        type: str
      provider:
        description: Name that rclone has for the kind of object store.
        type: str
      repo:
        description: Repository of V(hub).
        type: str
      revision:
        description: Commit of V(hub), 40 digits. A branch is refused, and the message names its present commit.
        type: str
  mirror:
    description: For V(mirror), its directory on this host, or the HTTP address of a file server that gives it out.
    type: str
    default: ''
  signers:
    description: Public keys of which one has to have signed the mirror, each as the one line of a C(.pub) file.
    type: list
    elements: str
    default: []
  token:
    description: Token for V(hub) and V(http). It is given to programs in their environment and to servers in a header, and written nowhere.
    type: str
    default: ''
  access_key:
    description: Access key for V(s3). Without it the host's own environment or role is used.
    type: str
    default: ''
  secret_key:
    description: Secret key for V(s3).
    type: str
    default: ''
  verify:
    description: Read every byte of what is there, instead of only the files that have changed by size, time or inode.
    type: bool
    default: false
  keep:
    description: Versions to keep, the current one included. V(0) removes none.
    type: int
    default: 2
  parallel:
    description: Files that are fetched, or read, at the same time.
    type: int
    default: 4
  reserve_gib:
    description: What has to stay free on the disk, in GiB.
    type: int
    default: 10
  mount:
    description: Mount point that O(path) has to be on, so that a disk that is not mounted is noticed. Empty for any.
    type: str
    default: ''
  caches:
    description: Directories of caches, such as C(HF_HOME). One on a network file system is refused.
    type: list
    elements: path
    default: []
  min_read_mib:
    description:
      - MiB per second that the weights have to be read at, past the page cache. At most half a GiB or two seconds are read.
      - V(0) measures nothing.
    type: int
    default: 0
  hub_python:
    description: Python on the host that has huggingface_hub, for V(hub).
    type: str
    default: ''
  hub_program:
    description: Text of the program that speaks with the library.
    type: str
    default: ''
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Write the tiny model
  railyard.sglang.model:
    path: /opt/models/tiny
    source: tiny

- name: Have a commit of a repository of the hub
  railyard.sglang.model:
    path: /lssd/models/DeepSeek-R1
    mount: /lssd
    origin: {type: hub, repo: deepseek-ai/DeepSeek-R1, revision: "{{ commit }}"}
    token: "{{ vault_hub_token }}"
    hub_python: /opt/sglang/sglang-0.5.8-cu12/bin/python
    hub_program: "{{ lookup('ansible.builtin.file', 'hub.py') }}"

- name: Prove that a model on an NFS mount is whole
  railyard.sglang.model:
    path: /app/models/DeepSeek-R1
"""

RETURN = r"""
checksum:
  description: SHA-256 of the whole directory; empty when it was not read or does not exist yet.
  returned: always
  type: str
problems:
  description: What was wrong before the module ran.
  returned: always
  type: list
  elements: str
version:
  description:
    - With O(origin), the name of the version that is current, or in check mode would be.
    - Empty in check mode where O(hub_python) is yet to be installed, and so nobody can ask what there is to fetch.
  returned: with O(origin)
  type: str
  sample: 697ea0c61651
fetched:
  description: Files that were fetched, or in check mode would be.
  returned: with O(origin)
  type: list
  elements: str
fetched_bytes:
  description: Their bytes, without those that an interrupted run had fetched before.
  returned: with O(origin)
  type: int
linked:
  description: Files that another version had already, which share its place on the disk.
  returned: with O(origin)
  type: list
  elements: str
pruned:
  description: Versions that were removed.
  returned: with O(origin)
  type: list
  elements: str
files:
  description: The files of the version by name, with C(size) and C(sha256); in check mode the latter may be empty.
  returned: with O(origin)
  type: dict
mount:
  description: The mount of the model, with C(point), C(kind), C(device), C(remote) and C(free_gib).
  returned: with O(origin), or where O(mount), O(caches) or O(min_read_mib) is set
  type: dict
read_mib:
  description: MiB per second that the weights were read at. Null where that could not be measured.
  returned: where O(min_read_mib) is set
  type: int
"""

import glob
import os
import shutil
import tempfile
from typing import Any, Dict, List

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.model import directory, mounts, origin, provide, tiny
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError

ORIGIN: Dict[str, Any] = {
    "type": {"type": "str", "choices": ["directory", "mirror", "http", "s3", "hub"], "required": True},
    "name": {"type": "str"},
    "path": {"type": "path"},
    "url": {"type": "str"},
    "bucket": {"type": "str"},
    "prefix": {"type": "str"},
    "endpoint": {"type": "str"},
    "region": {"type": "str"},
    "provider": {"type": "str"},
    "repo": {"type": "str"},
    "revision": {"type": "str"},
}
SPEC: Dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "source": {"type": "str", "choices": ["path", "tiny"], "default": "path"},
    "checksum": {"type": "str", "default": ""},
    "origin": {"type": "dict", "options": ORIGIN},
    "mirror": {"type": "str", "default": ""},
    "signers": {"type": "list", "elements": "str", "default": []},
    "token": {"type": "str", "default": "", "no_log": True},
    "access_key": {"type": "str", "default": "", "no_log": True},
    "secret_key": {"type": "str", "default": "", "no_log": True},
    "verify": {"type": "bool", "default": False},
    "keep": {"type": "int", "default": 2},
    "parallel": {"type": "int", "default": 4},
    "reserve_gib": {"type": "int", "default": 10},
    "mount": {"type": "str", "default": ""},
    "caches": {"type": "list", "elements": "path", "default": []},
    "min_read_mib": {"type": "int", "default": 0},
    "hub_python": {"type": "str", "default": ""},
    "hub_program": {"type": "str", "default": ""},
}


def check_place(path: str) -> None:
    """Raise ModelError unless all that is at path is the tiny model's own, or nothing is."""
    if os.path.lexists(path) and not os.path.isdir(path):
        raise ModelError(path, "is no directory, and the tiny model is to be there", "move it away, or correct sglang_model.path")
    found = tiny.foreign(path)
    if found:
        problem = f"holds what the tiny model does not consist of, and is left alone: {', '.join(found[:5])}"
        fix = "move it away, give sglang_model.path another name, or set sglang_model.source to path"
        raise ModelError(path, problem, fix)


def publish(path: str) -> None:
    """Write the tiny model beside path, then exchange it for what is there; remains of an interrupted run are removed."""
    parent, name = os.path.split(path)
    os.makedirs(parent, exist_ok=True)
    for kind in ("new", "old"):
        for remains in glob.glob(os.path.join(glob.escape(parent), f".{glob.escape(name)}.{kind}-*")):
            if os.path.isdir(remains) and not tiny.foreign(os.path.join(remains, "was")):
                shutil.rmtree(remains)
    staging = tempfile.mkdtemp(prefix=f".{name}.new-", dir=parent)
    try:
        tiny.write(staging)
        os.chmod(staging, 0o755)
        old = ""
        if os.path.lexists(path):
            old = tempfile.mkdtemp(prefix=f".{name}.old-", dir=parent)
            os.rename(path, os.path.join(old, "was"))
        os.rename(staging, path)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    if old:
        shutil.rmtree(old)


def tiny_problems(path: str) -> List[str]:
    """Return how a directory differs from the tiny model."""
    found = directory.problems(path)
    if found:
        return found
    wanted = tiny.parts()
    rows = []
    for name, content in wanted.items():
        target = os.path.join(path, name)
        try:
            with open(target, "rb") as stream:
                same = stream.read() == content
        except OSError:
            same = False
        if not same:
            rows.append(f"{name} is missing or differs")
    return rows


def fail(module: AnsibleModule, problems: List[str], fix: str) -> None:
    """Stop with every problem and the fix."""
    text = "; ".join(problems)
    module.fail_json(msg=f"The model in {module.params['path']} is not whole: {text}. Fix: {fix}", problems=problems, checksum="")


def place(module: AnsibleModule, path: str) -> Dict[str, Any]:
    """Return what the result says of the mount. Raises ModelError where it is not fit."""
    given = module.params
    if not (given["origin"] or given["mount"] or given["caches"] or given["min_read_mib"]):
        return {}
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        known = mounts.parse(stream.read())
    found, warnings = mounts.check(path, given["mount"], given["caches"], known, bool(given["origin"]))
    for text in warnings:
        module.warn(text)
    free = round(provide.free_bytes(path) / provide.GIB, 1)
    return {"mount": {"point": found.point, "kind": found.kind, "device": found.device, "remote": found.remote, "free_gib": free}}


def rate(module: AnsibleModule, path: str) -> Dict[str, Any]:
    """Return what the result says of the read rate. Raises ModelError where it is too low."""
    least = module.params["min_read_mib"]
    weights = mounts.largest(path) if least else ""
    if not weights:
        return {}
    found = mounts.read_rate(weights)
    mib = found // (1 << 20) if found is not None else None
    if mib is not None and mib < least:
        fix = "put the model on a faster disk, or correct model_min_read_mib"
        raise ModelError(path, f"the weights are read at {mib} MiB/s, wanted {least}", fix)
    return {"read_mib": mib}


def provided(module: AnsibleModule, path: str) -> Dict[str, Any]:
    """Fetch what is missing of a model and return the result. Raises ModelError."""
    given = module.params
    wanted = {name: value for name, value in given["origin"].items() if value}
    secrets = {name: given[name] for name in ("token", "access_key", "secret_key")}
    mirror = (given["mirror"], given["signers"])
    source = origin.make(wanted, given["checksum"], secrets, given["hub_python"], given["hub_program"], mirror=mirror)
    options = provide.Options(
        path=path, request=origin.request(wanted, given["checksum"]), checksum=given["checksum"], full=given["verify"], keep=given["keep"],
        threads=max(1, given["parallel"]), reserve=given["reserve_gib"] * provide.GIB, check=module.check_mode,
    )
    done = provide.Provider(source, options).run()
    result: Dict[str, Any] = {
        "changed": done.changed, "checksum": done.checksum, "problems": done.problems, "version": done.after, "fetched": done.fetched,
        "fetched_bytes": done.fetched_bytes, "linked": done.linked, "pruned": done.pruned, "files": done.files,
    }
    if module._diff and done.changed:
        before = [f"version {done.before}" if done.before else "no version", *(done.problems if done.before == done.after else [])]
        after = [f"version {done.after} from {source.said}", *(f"version {name} removed" for name in done.pruned)]
        texts = {"before": "\n".join(before) + "\n", "after": "\n".join(after) + "\n"}
        result["diff"] = {**texts, "before_header": path, "after_header": path}
    return result


def kept(module: AnsibleModule, path: str) -> Dict[str, Any]:
    """Prove that a model is whole, or write the tiny one, and return the result."""
    source, wanted = module.params["source"], module.params["checksum"]
    problems = tiny_problems(path) if source == "tiny" else directory.problems(path)
    changed = source == "tiny" and bool(problems)
    if problems and source == "path":
        fail(module, problems, "copy the model again, or set sglang_model.source")
    if changed:
        check_place(os.path.realpath(path))
    if changed and not module.check_mode:
        try:
            publish(os.path.realpath(path))
        except OSError as error:
            fail(module, [f"writing it failed: {error}"], f"free space or make {os.path.dirname(path)} writable")
    found = ""
    if (wanted or source == "tiny") and os.path.isdir(path) and not (changed and module.check_mode):
        found = directory.checksum(directory.manifest(path))
    if wanted and found and wanted != found:
        fail(module, [f"its checksum is {found}, wanted {wanted}"], "copy the model again, or correct sglang_model.checksum")
    result: Dict[str, Any] = {"changed": changed, "checksum": found, "problems": problems}
    if module._diff and changed:
        result["diff"] = {"before": "\n".join(problems) + "\n", "after": "the tiny model\n", "before_header": path, "after_header": path}
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    # Services read these files as users of their own, whatever root's umask is.
    os.umask(0o022)
    path = os.path.normpath(module.params["path"])
    try:
        where = place(module, path)
        result = provided(module, path) if module.params["origin"] and module.params["source"] == "path" else kept(module, path)
        result.update(where)
        result.update(rate(module, path))
    except ModelError as error:
        module.fail_json(msg=str(error), problems=[str(error)], checksum="")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
