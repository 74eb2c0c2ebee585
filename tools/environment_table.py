# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the environment variables that one version of sglang reads as JSON.

The sources are read, never imported, so that a wheel that fits no machine here can be unpacked and read as well:

    python3 tools/environment_table.py /opt/sglang/sglang-0.5.8-cpu/lib/python3.11/site-packages \
        > plugins/module_utils/launch/data/sglang-0.5.8-environment.json
"""

from __future__ import annotations

import ast
import json
import pathlib
import re
import sys

# Classes of srt/environ.py and helpers that read a variable directly, by what they accept.
KINDS = {
    "EnvBool": "bool", "EnvBoolWithAlias": "bool", "EnvInt": "int", "EnvIntWithAlias": "int", "EnvFloat": "float", "EnvJSON": "json",
    "get_bool_env_var": "bool-strict", "get_int_env_var": "int", "get_float_env_var": "float",
}
READERS = {"get", "getenv", "pop", "setdefault", "get_str_env_var", *KINDS}
OWN = re.compile(r"(?:SGL|SGLANG)_[A-Z0-9_]*[A-Z0-9]\Z")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
# Sources that are not Python: only names that no macro has.
IN_TEXT = re.compile(rb"\bSGLANG_[A-Z0-9_]*[A-Z0-9]\b")
INSTEAD = re.compile(r"--[a-z0-9-]+|\bSGLANG_[A-Z0-9_]+")
# Tests and benchmarks are no part of a server.
SKIPPED = ("test", "benchmark")


def called(node: ast.expr) -> str:
    """Return the last part of what is called or named."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_environ(node: ast.expr) -> bool:
    """Whether an expression is os.environ or a copy of it by name."""
    return called(node) == "environ"


def text(node: ast.expr | None) -> str:
    """Return the value of a constant text, or an empty text."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


class Table:
    """What is known of every variable."""

    def __init__(self) -> None:
        self.variables: dict[str, dict[str, object]] = {}
        self.mentioned: set[str] = set()

    def note(self, name: str, path: str, how: str, **facts: object) -> None:
        """Record one place that declares, reads or writes a variable; the first one is shown."""
        if NAME.match(name):
            entry = self.variables.setdefault(name, {})
            if facts.get("type") == "bool-strict" or entry.get("type", "text") == "text":
                # Read in two ways, a value has to suit the stricter one.
                entry.update({key: value for key, value in facts.items() if key == "type"})
            for key, value in {how: path, **facts}.items():
                entry.setdefault(key, value)

    def deprecate(self, name: str, note: str) -> None:
        """Record that a variable is deprecated, and what the note names in its place."""
        self.variables.setdefault(name, {})["deprecated"] = sorted(set(INSTEAD.findall(note)) - {name})

    def declared(self, tree: ast.Module, path: str) -> None:
        """Record the fields of the class Envs."""
        fields = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Envs").body
        for field in fields:
            target = field.targets[0] if isinstance(field, ast.Assign) else getattr(field, "target", None)
            value = getattr(field, "value", None)
            if isinstance(target, ast.Name) and isinstance(value, ast.Call) and called(value.func).startswith("Env"):
                default = ast.unparse(value.args[0]) if value.args else ""
                self.note(target.id, path, "declared", type=KINDS.get(called(value.func), "text"), default=default)

    def renamed(self, tree: ast.Module) -> None:
        """Record the old names that are copied to new ones when the package is imported."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node.func) == "_print_deprecated_env":
                new, old = text(node.args[0]), text(node.args[1])
                if old:
                    self.variables.setdefault(old, {})["renamed"] = new
            elif isinstance(node, ast.Call) and called(node.func) == "_warn_deprecated_env_to_cli_flag" and text(node.args[0]):
                self.deprecate(text(node.args[0]), text(node.args[1]))
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values):
                    if isinstance(value, ast.Call) and called(value.func) == "_DeprecatedEnv" and text(key):
                        given = {word.arg: text(word.value) for word in value.keywords}
                        self.deprecate(text(key), given.get("note", ""))
                        if given.get("replacement"):
                            self.variables[text(key)]["renamed"] = given["replacement"]

    def used(self, tree: ast.Module, path: str) -> None:
        """Record direct reads and writes, and every name that is mentioned."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                self.mentioned.add(node.attr)
            elif isinstance(node, ast.Constant) and OWN.match(text(node)):
                self.mentioned.add(text(node))
            if isinstance(node, ast.Call) and node.args and called(node.func) in READERS:
                function = called(node.func)
                of = node.func.value if isinstance(node.func, ast.Attribute) else None
                if text(node.args[0]) and (function not in {"get", "pop", "setdefault"} or (of is not None and is_environ(of))):
                    default = ast.unparse(node.args[1]) if len(node.args) > 1 else ""
                    facts = {"type": KINDS.get(function, "text"), **({"default": default} if default else {})}
                    if function == "setdefault":
                        self.note(text(node.args[0]), path, "defaulted")
                    else:
                        self.note(text(node.args[0]), path, "read", **facts)
            elif isinstance(node, ast.Subscript) and is_environ(node.value) and text(node.slice):
                self.note(text(node.slice), path, "written" if isinstance(node.ctx, ast.Store) else "read", type="text")
            elif isinstance(node, ast.Compare) and len(node.comparators) == 1 and is_environ(node.comparators[0]) and text(node.left):
                self.note(text(node.left), path, "read", type="text")


def collect(root: pathlib.Path) -> dict[str, dict[str, object]]:
    """Return every variable of a package directory."""
    table = Table()
    for path in sorted((root / "sglang").rglob("*")):
        shown = path.relative_to(root).as_posix()
        if not path.is_file() or any(part in SKIPPED for part in path.relative_to(root).parts) or path.suffix == ".pyc":
            continue
        if path.suffix != ".py":
            table.mentioned |= {found.decode() for found in IN_TEXT.findall(path.read_bytes())}
            continue
        tree = ast.parse(path.read_bytes())
        if shown == "sglang/srt/environ.py":
            table.declared(tree, shown)
            table.renamed(tree)
        else:
            table.used(tree, shown)
    for name, entry in table.variables.items():
        entry["unused"] = "declared" in entry and "read" not in entry and name not in table.mentioned
    for name in sorted(table.mentioned):
        if OWN.match(name):
            table.variables.setdefault(name, {"mentioned": True})
    return {name: {key: value for key, value in entry.items() if value is not False} for name, entry in sorted(table.variables.items())}


def main() -> None:
    """Print the table of the sglang below the site-packages directory named on the command line."""
    root = pathlib.Path(sys.argv[1])
    version = next(root.glob("sglang-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    rows = [f"  {json.dumps(name)}: {json.dumps(entry)}" for name, entry in collect(root).items()]
    head = f'{{\n "distribution": "sglang",\n "version": "{version}",\n "variables": {{\n'
    sys.stdout.write(head + ",\n".join(rows) + "\n }\n}\n")


if __name__ == "__main__":
    main()
