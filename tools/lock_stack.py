# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the lock of a stack anew: the sha256 of every wheel of its pinned packages that its Pythons can use.

    tools/lock_stack.py roles/stack/files/sglang-0.5.8-cpu --wheels DIR

The pins are those of the directory's packages.in (name==version, one a line); requirements.txt is written, and the
number of packages in stack.yml is set. Hashes come from the package index (--index, its simple HTML pages) and, for
what the index does not have (torch==...+cpu), from wheel files in --wheels, as `pip download` leaves them.
With --installer instead of a directory it locks the installer: tools/lock_stack.py --installer uv==0.13.8
"""

from __future__ import annotations

import argparse
import html
import os
import re
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".tree"))

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
        raise SystemExit(f"{index} is not the address of a package index")
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
        hashes = index_hashes(pages.get(name, ""), name, version, targets)
        hashes = hashes or directory_hashes(wheels, name, version, targets)
        if not hashes:
            missing.append(f"{name}=={version}")
        words = [f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in sorted(hashes))]
        lines.append(" \\\n    ".join(words))
    if missing:
        raise SystemExit(f"no usable wheel on {index} nor in {wheels}: {', '.join(missing)}")
    return HEADER.format(source=source) + "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Write the lock of the stack, or of the installer, that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", nargs="?", type=Path, help="directory of the stack")
    parser.add_argument("--installer", help="pin of the installer, for example uv==0.13.8")
    own = os.environ.get("PIP_INDEX_URL")
    parser.add_argument("--index", default=own, required=not own, help="package index with HTML pages; default PIP_INDEX_URL")
    parser.add_argument("--wheels", type=Path, help="directory with wheels that the index does not have")
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
    pins = read_pins((options.stack / "packages.in").read_text(encoding="utf-8"))
    text = lock_text(pins, targets, options.index, options.wheels, "packages.in")
    count = len(parse_lock(text, str(options.stack)))
    (options.stack / "requirements.txt").write_text(text, encoding="utf-8")
    definition.write_text(re.sub(r"^packages: .*$", f"packages: {count}", old, flags=re.M), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
