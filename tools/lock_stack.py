# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the lock of a stack anew: the sha256 of every wheel of its pinned packages that its Pythons can use.

    tools/lock_stack.py roles/stack/files/sglang-0.5.8-cpu --wheels DIR

If the directory has a resolve.yml, uv resolves it first (tools/resolve_stack.py tells what stands in it) and packages.in is
written; versions that packages.in has already stay where they still fit, unless --upgrade is given. Otherwise packages.in is
written by hand. Its pins (name==version, one a line) go into requirements.txt with their hashes, and the number of packages
in stack.yml is set. Hashes come from the package index (--index, its simple HTML pages) and, for what the index does not have
(torch==...+cpu), from wheel files in --wheels, as `pip download` leaves them; without --wheels pip fetches those by itself.
With --installer instead of a directory it locks the installer: tools/lock_stack.py --installer uv==0.13.8
"""

from __future__ import annotations

import argparse
import html
import os
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".tree"))

from resolve_stack import Places, fetch_local, read_wanted, resolve

from ansible_collections.railyard.sglang.plugins.module_utils.stack.locks import normalise, parse_lock
from ansible_collections.railyard.sglang.plugins.module_utils.stack.wheels import (
    Target,
    fits,
    parse_wheel,
    sha256,
)

HEADER = """\
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by tools/lock_stack.py: change {source} and run it again.
"""
PINS_HEADER = """\
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by tools/lock_stack.py: change resolve.yml and run it again.
"""
INDEX = "https://pypi.org/simple"
NEWEST_GLIBC = (2, 99)
FILES = ROOT / "roles" / "stack" / "files"


def read_pins(text: str) -> list[tuple[str, str]]:
    """Return (normalised name, version) of lines name==version."""
    pins = []
    for raw in text.splitlines():
        line = raw.split("#")[0].strip()
        if line:
            name, separator, version = line.partition("==")
            if not separator:
                raise SystemExit(f"{line!r} is not name==version")
            pins.append((normalise(name), version))
    return sorted(pins)


def index_hashes(page: str, name: str, version: str, targets: list[Target]) -> set[str]:
    """Return the sha256 of the wheels on an index page which are of the version and fit one of the targets."""
    found = set()
    for reference in re.findall(r'<a\s[^>]*href="([^"]+)"', page):
        url = urlsplit(html.unescape(reference))
        wheel = parse_wheel(unquote(url.path.rsplit("/", 1)[-1]))
        digest = re.match(r"^sha256=([0-9a-f]{64})$", url.fragment)
        if wheel and digest and (wheel.name, wheel.version) == (name, version) and any(fits(wheel, t) for t in targets):
            found.add(digest[1])
    return found


def directory_hashes(directory: Path | None, name: str, version: str, targets: list[Target]) -> set[str]:
    """Return the sha256 of the wheels in a directory which are of the version and fit one of the targets."""
    found = set()
    for path in sorted(directory.glob("*.whl")) if directory else []:
        wheel = parse_wheel(path.name)
        if wheel and (wheel.name, wheel.version) == (name, version) and any(fits(wheel, t) for t in targets):
            found.add(sha256(path))
    return found


def fetch_page(index: str, name: str) -> str:
    """Return the page of a project on the index, an empty text if the index has none."""
    if urlsplit(index).scheme not in ("https", "http"):
        raise SystemExit("what --index or PIP_INDEX_URL names is not the address of a package index (https or http)")
    try:
        with urllib.request.build_opener().open(f"{index.rstrip('/')}/{name}/", timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return ""
        raise


def lock_text(pins: list[tuple[str, str]], targets: list[Target], index: str, wheels: Path | None, source: str) -> str:
    """Return the text of a lock; end the program, naming them, if packages have no usable wheel anywhere."""
    public = sorted({name for name, version in pins if "+" not in version})
    with ThreadPoolExecutor(8) as pool:
        pages = dict(zip(public, pool.map(lambda name: fetch_page(index, name), public)))
    lines, missing = [], []
    for name, version in pins:
        hashes = set()
        for target in targets:
            found = index_hashes(pages.get(name, ""), name, version, [target])
            found = found or directory_hashes(wheels, name, version, [target])
            hashes |= found
            if not found:
                missing.append(f"{name}=={version} (Python 3.{target.minor} on {target.machine})")
        words = [f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in sorted(hashes))]
        lines.append(" \\\n    ".join(words))
    if missing:
        raise SystemExit(f"no usable wheel on {urlsplit(index).hostname} nor in {wheels}: {', '.join(missing)}")
    return HEADER.format(source=source) + "\n".join(lines) + "\n"


def find_uv() -> str:
    """Return the path of uv, a bare name where it is nowhere."""
    own = ROOT / ".venv-uv" / "bin" / "uv"
    return str(own) if own.exists() else shutil.which("uv") or "uv"


def main(arguments: list[str]) -> None:
    """Write the lock of the stack, or of the installer, that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", nargs="?", type=Path, help="directory of the stack")
    parser.add_argument("--installer", help="pin of the installer, for example uv==0.13.8")
    own = os.environ.get("PIP_INDEX_URL") or INDEX
    parser.add_argument("--index", default=own, help=f"package index with HTML pages; default PIP_INDEX_URL, or {INDEX}")
    parser.add_argument("--wheels", type=Path, help="directory with wheels that the index does not have")
    parser.add_argument("--uv", default=find_uv(), help="the program uv; default that of tools/bootstrap.sh, or of PATH")
    parser.add_argument("--upgrade", action="store_true", help="choose all versions of resolve.yml anew")
    options = parser.parse_args(arguments)
    if options.installer:
        targets = [Target(11, machine, NEWEST_GLIBC) for machine in ("x86_64", "aarch64")]
        pins = read_pins(options.installer)
        text = lock_text(pins, targets, options.index, options.wheels, "the version on its command line")
        (FILES / "installer.txt").write_text(text, encoding="utf-8")
        return
    if not options.stack:
        parser.error("name the directory of a stack, or --installer")
    definition = options.stack / "stack.yml"
    old = definition.read_text(encoding="utf-8")
    minors = [int(minor) for minor in re.findall(r'"3\.(\d+)"', re.search(r"^python:.*$", old, re.M)[0])]
    machines = re.findall(r"\w+", re.search(r"^machines:(.*)$", old, re.M)[1])
    targets = [Target(minor, machine, NEWEST_GLIBC) for minor in minors for machine in machines]
    source = options.stack / "packages.in"
    listed = source.read_text(encoding="utf-8") if source.exists() else ""
    with tempfile.TemporaryDirectory() as work:
        wheels = options.wheels or Path(work)
        if (options.stack / "resolve.yml").exists():
            wanted = read_wanted(options.stack / "resolve.yml")
            if not options.wheels:
                fetch_local(wanted, targets, wheels, os.environ.get("RAILYARD_TORCH_INDEX", ""))
            kept = "" if options.upgrade else listed
            lines = resolve(wanted, targets, Places(options.uv, options.index, wheels, Path(work)), kept)
            listed = PINS_HEADER + "".join(f"{line}\n" for line in lines)
        text = lock_text(read_pins(listed), targets, options.index, wheels, "packages.in")
    count = len(parse_lock(text, str(options.stack)))
    source.write_text(listed, encoding="utf-8")
    (options.stack / "requirements.txt").write_text(text, encoding="utf-8")
    definition.write_text(re.sub(r"^packages: .*$", f"packages: {count}", old, flags=re.M), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
