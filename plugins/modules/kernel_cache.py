# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module kernel_cache: the compiled DeepGEMM kernels of a host's ranks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_cache
short_description: Say what a host has of the kernels that its ranks need, and put whole sets of them in use
version_added: 0.1.0
description:
  - A set of kernels belongs to a key - the stack's tree, GPU architecture, nvcc, shape of the model, arguments. Each key has a directory of
    its own, with a record that holds the key and the SHA-256 of every file; the path that an engine uses is a link to one that is whole,
    switched by a rename.
  - The link is not switched under an engine that runs. Its new kernels wait until the stage that restarts it puts them in use.
  - With O(state=looked) nothing is changed. The key of each rank is computed and compared with what is there.
  - Files are made as O(user), never as root.
extends_documentation_fragment:
  - railyard.sglang.attributes
attributes:
  diff_mode:
    support: full
options:
  state:
    description:
      - V(looked) says what is there, V(recorded) records what was compiled and puts it in use, V(current) puts what is whole in use,
        V(packed) makes archives, V(readable) asks whether this user can read them, V(received) takes kernels from archives, V(cleaned)
        removes archives, V(places) makes the directories of all caches that the units do not make by themselves, V(absent) removes every
        set of kernels and the files of compilations.
    type: str
    choices: [looked, recorded, current, packed, readable, received, cleaned, places, absent]
    required: true
  ranks:
    description: Ranks of the host, from its slice of the plan.
    type: list
    elements: dict
    default: []
  caches:
    description: Keys to act on, as RV(caches) of an earlier look has them.
    type: list
    elements: dict
    default: []
  model:
    description: Directory of the model.
    type: path
    default: ''
  architectures:
    description: Compute capabilities for which DeepGEMM is used.
    type: list
    elements: str
    default: ['9.0', '10.0', '10.3']
  cluster:
    description: Name of the cluster, by which units are known that the plan has no more.
    type: str
    default: ''
  trees:
    description:
      - Targets of the links to stacks and to DeepEP that are known already, by link. A tree that is not whole counts in check mode only,
        which is exact by them when a stack would change.
    type: dict
    default: {}
  incoming:
    description: With O(state=packed), keys whose archives will be brought to this host. Room for them is made.
    type: list
    elements: dict
    default: []
  user:
    description: User that runs the engines. Created when it is not there.
    type: str
    default: sglang
  home:
    description: Home of a user that is created.
    type: path
    default: /var/lib/sglang
  verify:
    description: Whether to read every byte of the kernels, instead of those that have changed.
    type: bool
    default: false
  kept:
    description: With O(state=looked), whether to return all keys that are kept and the sizes of all caches, too.
    type: bool
    default: false
  root:
    description: Directory that stands for the root of the host's file system when GPUs and the files of compilations are looked for.
    type: path
    default: /
  keep:
    description: Keys to keep at a path, the one in use included. V(0) removes none.
    type: int
    default: 2
author:
  - railyard.sglang contributors (@railyard)
"""

EXAMPLES = r"""
- name: Look at the kernels
  railyard.sglang.kernel_cache:
    state: looked
    ranks: "{{ sglang_host.ranks }}"
    model: "{{ sglang_host.model.path }}"
"""

RETURN = r"""
caches:
  description:
    - One row for each rank with C(state) (V(whole), V(kept), V(partial), V(missing), V(unused) or V(unknown)), C(key), C(parts) of the
      key, C(path), C(kernels), C(bytes), C(problems), C(differs) from the key in use, C(active) for a unit that runs, C(error).
  returned: with O(state=looked)
  type: list
  elements: dict
kept:
  description: Every key that is kept, with its parts and its state.
  returned: with O(kept)
  type: list
  elements: dict
bytes:
  description: What each cache takes on its disk, by instance and variable.
  returned: with O(kept)
  type: dict
others:
  description: C(unit) and C(rank) of each engine of O(cluster) that runs and is none of O(ranks).
  returned: with O(state=looked)
  type: list
  elements: dict
compiling:
  description: Instances whose kernels are being compiled on the host.
  returned: with O(state=looked)
  type: list
  elements: str
stopped:
  description: Units that a run has stopped and not started again.
  returned: with O(state=looked)
  type: list
  elements: str
archives:
  description: C(path), C(size) and C(sha256) of each archive, and C(files), the SHA-256 of every file in it.
  returned: with O(state=packed)
  type: list
  elements: dict
pruned:
  description: Keys and files that were removed.
  returned: always
  type: list
  elements: str
"""

import os
import pwd
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache import acting, compiling, holders, look, store
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.place import MOUNTINFO, mounted
from ansible_collections.railyard.sglang.plugins.module_utils.model.errors import ModelError
from ansible_collections.railyard.sglang.plugins.module_utils.model.mounts import parse
from ansible_collections.railyard.sglang.plugins.module_utils.services import units

STATES = ["looked", "recorded", "current", "packed", "readable", "received", "cleaned", "places", "absent"]
SPEC: Dict[str, Any] = {
    "state": {"type": "str", "choices": STATES, "required": True},
    "ranks": {"type": "list", "elements": "dict", "default": []},
    "caches": {"type": "list", "elements": "dict", "default": []},
    "model": {"type": "path", "default": ""},
    "architectures": {"type": "list", "elements": "str", "default": ["9.0", "10.0", "10.3"]},
    "cluster": {"type": "str", "default": ""},
    "trees": {"type": "dict", "default": {}},
    "incoming": {"type": "list", "elements": "dict", "default": []},
    "user": {"type": "str", "default": "sglang"},
    "home": {"type": "path", "default": "/var/lib/sglang"},
    "verify": {"type": "bool", "default": False},
    "kept": {"type": "bool", "default": False},
    "root": {"type": "path", "default": "/"},
    "keep": {"type": "int", "default": 2},
}
Result = Dict[str, Any]
User = Optional[pwd.struct_passwd]


def held(module: AnsibleModule) -> Result:
    """Return what holds GPUs besides the engines of the plan, and what waits to be started again."""
    given, root = module.params, module.params["root"].rstrip("/")
    instances = [rank["instance"] for rank in given["ranks"] if look.planned(rank)]
    planned = [rank["unit"] for rank in given["ranks"]]
    return {
        "others": holders.others(module.run_command, given["cluster"], planned, root + units.DIRECTORY),
        "compiling": holders.compilations(module.run_command, given["cluster"], instances, root),
        "stopped": holders.noted(root),
    }


def looked(module: AnsibleModule) -> Result:
    """Return what is there."""
    given = module.params
    mounted(path for rank in given["ranks"] for path in look.variables(rank).values())
    with open(MOUNTINFO, encoding="utf-8") as stream:
        mounts = parse(stream.read())
    host = look.Host(
        Root(given["root"]), mounts, module.run_command, given["model"], given["architectures"], given["trees"],
        module.check_mode,
    )
    rows = look.rows(given["ranks"], host, given["verify"])
    for row in rows:
        row["active"] = bool(row["path"]) and units.show(module.run_command, row["unit"]).active in holders.ACTIVE
    for line in sorted({line for row in rows for line in row["warnings"]}):
        module.warn(line)
    found: Result = {"changed": False, "caches": rows, "pruned": [], **held(module)}
    if given["kept"]:
        found["kept"] = [row for path in sorted({row["path"] for row in rows if row["path"]}) for row in look.kept(path)]
        named = {
            f"{rank['instance']} {name}": path
            for rank in given["ranks"] for name, path in look.variables(rank).items()
        }
        found["bytes"] = look.sizes(named)
    return found


def owner(module: AnsibleModule) -> User:
    """Return the user whom the kernels belong to."""
    return acting.made(module.params["user"], module.params["home"], module.run_command)


def runs(module: AnsibleModule, names: List[str]) -> bool:
    """Whether one of these units is at work."""
    return any(units.show(module.run_command, name).active in holders.ACTIVE for name in names)


def used(module: AnsibleModule) -> Result:
    """Record, receive or merely put in use."""
    given = module.params
    pruned: List[str] = []
    changes: List[Result] = []
    user = None if module.check_mode else owner(module)
    for row in given["caches"]:
        if module.check_mode:
            changes.append(row)
            continue
        acting.base(os.path.dirname(row["path"]), user)
        with acting.acting(user):
            cache = store.CacheStore(row["path"])
            before = cache.current()
            switch = not runs(module, row.get("units", []))
            if given["state"] == "current" and not switch:
                continue
            with cache.lock():
                if given["state"] == "received":
                    archive = row["archive"]
                    place = cache.archive(row["key"])
                    cache.unpack(row["key"], row["parts"], place, archive["sha256"], archive["files"], switch=switch)
                elif given["state"] == "recorded":
                    cache.finish(row["key"], row["parts"], switch)
                else:
                    cache.settled(row["key"])
                pruned += cache.prune(given["keep"], row["key"])
            changes.append({**row, "before": before} if switch else {**row, "before": before, "key": before})
    lines = {
        "before": "".join(f"{row['path']} -> {row.get('before', '')}\n" for row in changes),
        "after": "".join(f"{row['path']} -> {row['key']}\n" for row in changes),
    }
    return {"changed": bool(changes), "pruned": pruned, "diff": lines}


def packed(module: AnsibleModule) -> Result:
    """Make archives, and room for those of others."""
    archives: List[Result] = []
    if module.check_mode:
        return {"changed": False, "archives": [], "pruned": []}
    user = owner(module)
    for row in module.params["incoming"]:
        place = os.path.dirname(row["path"])
        acting.base(place, user)
        status = os.statvfs(place)
        # The archive and what it holds. Of kernels that this run compiles the size is not known before.
        free, wanted = status.f_bavail * status.f_frsize, 2 * int(row.get("bytes", 0))
        if free < wanted:
            problem = f"has {free // store.MIB} MiB free, and {wanted // store.MIB} are needed to receive kernels"
            raise ModelError(place, problem, "free some, or lower deepgemm_keep")
        with acting.acting(user):
            os.makedirs(store.CacheStore(row["path"]).folder, exist_ok=True)
    with acting.acting(user):
        for row in module.params["caches"]:
            cache = store.CacheStore(row["path"])
            with cache.lock():
                archives.append({**row, "archive": {**cache.pack(row["key"]), "files": cache.sums(row["key"])}})
    return {"changed": False, "archives": archives, "pruned": []}


def readable(module: AnsibleModule) -> Result:
    """Refuse archives that this user, who need not be root, cannot read: what fetches them would only say that they are not there."""
    for row in module.params["caches"]:
        path = store.CacheStore(row["path"]).archive(row["key"])
        if not os.access(path, os.R_OK):
            name = pwd.getpwuid(os.geteuid()).pw_name
            blocked = next((place for place in above(path) if not os.access(place, os.X_OK)), path)
            fix = f"chmod o+x {blocked}, or name a directory that everybody may enter by SGLANG_DG_CACHE_DIR in sglang_env"
            raise ModelError(blocked, f"{name}, as whom Ansible logs in, cannot enter it to take kernels to other hosts", fix)
    return {"changed": False, "pruned": []}


def above(path: str) -> List[str]:
    """Return the directories above a path, the outermost first."""
    folder = os.path.dirname(path)
    return [folder] if folder == os.path.dirname(folder) else [*above(folder), folder]


def places(module: AnsibleModule) -> Result:
    """Make the directories of caches that an operator has placed elsewhere: a unit can write to those that exist only."""
    wanted = sorted({path for rank in module.params["ranks"] for path in look.outside(rank)})
    gone = [path for path in wanted if not os.path.lexists(path)]
    user = None if module.check_mode else owner(module)
    for path in [] if module.check_mode else gone:
        acting.base(path, user)
    return {"changed": bool(gone), "pruned": [], "diff": {"before": "", "after": "".join(f"{path}/\n" for path in gone)}}


def cleaned(module: AnsibleModule) -> Result:
    """Remove archives."""
    user = acting.user(module.params["user"])
    with acting.acting(user):
        gone = [path for row in module.params["caches"] for path in store.CacheStore(row["path"]).leftovers()]
        for path in [] if module.check_mode else gone:
            os.remove(path)
    return {"changed": False, "pruned": gone}


def absent(module: AnsibleModule) -> Result:
    """Remove every set of kernels, and the files of compilations."""
    user = acting.user(module.params["user"])
    root = module.params["root"].rstrip("/")
    ranks = [rank for rank in module.params["ranks"] if look.path_of(rank)]
    # Of all ranks before anything goes: several share a path.
    busy = held(module)
    names = [rank["unit"] for rank in ranks] + [row["unit"] for row in busy["others"] if ranks]
    names = [name for name in names if runs(module, [name])] + [compiling.Job(name).unit for name in busy["compiling"]]
    if names:
        fix = f"take it out of service, or systemctl stop {' '.join(names)}, and run again"
        raise ModelError(", ".join(sorted({look.path_of(rank) for rank in ranks})), f"{', '.join(names)} runs and may use it", fix)
    gone: List[str] = []
    for path in sorted({look.path_of(rank) for rank in ranks}):
        with acting.acting(user):
            gone += store.CacheStore(path).remove(module.check_mode)
    for rank in ranks:
        job = compiling.Job(rank["instance"], root)
        gone += compiling.left(job) if module.check_mode else compiling.forget(job, module.run_command)
    return {"changed": bool(gone), "pruned": sorted(set(gone)), "diff": {"before": "".join(f"{path}\n" for path in gone), "after": ""}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    os.umask(0o022)
    acts = {
        "looked": looked, "recorded": used, "current": used, "received": used, "packed": packed, "readable": readable, "cleaned": cleaned,
        "places": places, "absent": absent,
    }
    try:
        result = acts[module.params["state"]](module)
    except (ModelError, units.UnitError) as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename or 'kernel cache'}: {error.strerror or error}. Fix: see the message, then run again")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
