# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which the network stage changes hosts, and what a failure leaves undone.

Interfaces of this machine cannot be renamed for a test, so that C(nic_names) and C(nic_names_confirm) are stand-ins here: they have the
real ones' options and write down what was asked of them. That names are really changed and undone is proven on virtual machines, by
tests/lab.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.railyard.sglang.tests.unit.support import playbooks

HOSTS = ["p0", "p1", "d0", "d1", "r0"]
INVENTORY = playbooks.ROOT / "tests/unit/golden/inventory.yml"
END = 'if __name__ == "__main__":\n    main()\n'
# A host is told by the PCI address of the one interface that is asked for.
NAMES = """
def stand_in():
    import json, pathlib
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    (nic,) = module.params["nics"]
    place, host = pathlib.Path("{place}"), nic["pci"].replace(":", "-")
    orders = json.loads((place / "orders.json").read_text()).get(host, {{}})
    done, begun = place / (host + ".done"), place / (host + ".begun")
    changed = not done.exists() and not begun.exists()
    if changed and not module.check_mode:
        if orders.get("fail"):
            module.fail_json(msg="a fault of this test")
        begun.touch()
        if orders.get("break"):
            (place / "break").touch()
    row = {{"before": nic["name"] if done.exists() else "old0", "after": nic["name"], "pci": nic["pci"], "mac": "", "rail": None,
           "networks": [], "management": False, "mtu_before": 1500, "mtu_after": 1500, "rdma_before": "", "rdma_after": ""}}
    module.exit_json(
        changed=changed, rows=[row], actions=["rename"] if changed else [], references=[], notes=[], problems=orders.get("problems", []),
        transaction=host if begun.exists() else "",
    )


stand_in()
"""
# The connection breaks as often as is said, before the module has done its work or after it.
CONFIRM = """
def stand_in():
    import json, pathlib
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    host, place = module.params["transaction"], pathlib.Path("{place}")
    orders = json.loads((place / "orders.json").read_text()).get(host, {{}})
    begun, done, asked = (place / (host + end) for end in (".begun", ".done", ".asked"))
    asked.write_text(asked.read_text() + "x" if asked.exists() else "x")
    breaks = len(asked.read_text()) <= orders.get("breaks", 0)
    if breaks:
        (place / "break").touch()
    if module.params["undo"]:
        changed = begun.exists()
        if changed:
            begun.rename(place / (host + ".undone"))
    elif begun.exists() and not (breaks and orders.get("before")):
        begun.rename(done)
        changed = True
    elif done.exists() or breaks:
        changed = False
    else:
        module.fail_json(msg="there is no open transaction: it was undone")
    module.exit_json(changed=changed, transaction=host)


stand_in()
"""
SSH = """#!/bin/sh
case "$*" in *"-O "*) exit 0;; esac
for last; do :; done
/bin/sh -c "$last"
rc=$?
if rm {place}/break 2>/dev/null; then echo "Connection reset by peer" >&2; exit 255; fi
exit $rc
"""


def address(host: str) -> str:
    return f"0000:00:{HOSTS.index(host) + 1:02x}.0"


class Stage:
    """The collection with the two stand-ins, and an ssh that runs commands on this machine."""

    def __init__(self, place: Path, **orders: dict[str, Any]) -> None:
        self.place = place
        told = {address(host).replace(":", "-"): order for host, order in orders.items()}
        (place / "orders.json").write_text(json.dumps(told), encoding="utf-8")
        (place / "ssh").write_text(SSH.format(place=place), encoding="utf-8")
        (place / "ssh").chmod(0o755)
        overlay, link = place / "overlay", place / "collections/ansible_collections/railyard/sglang"
        (overlay / "plugins/modules").mkdir(parents=True)
        for above in ("", "plugins", "plugins/modules"):
            for entry in (playbooks.ROOT / above).iterdir():
                if entry.name.startswith(".") or (overlay / above / entry.name).exists():
                    continue
                (overlay / above / entry.name).symlink_to(entry)
        for name, text in (("nic_names", NAMES), ("nic_names_confirm", CONFIRM)):
            path = overlay / f"plugins/modules/{name}.py"
            real = path.read_text(encoding="utf-8")
            assert real.endswith(END)
            path.unlink()
            path.write_text(real.removesuffix(END) + text.format(place=place), encoding="utf-8")
        link.parent.mkdir(parents=True)
        link.symlink_to(overlay)
        data = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
        for group in data["all"]["children"].values():
            for host, row in group["hosts"].items():
                row["network_interfaces"] = [{"name": "fab9", "pci": address(host)}]
        data["all"]["vars"] |= {
            "ansible_connection": "ssh", "ansible_ssh_executable": str(place / "ssh"), "ansible_pipelining": True,
            "ansible_python_interpreter": sys.executable, "sglang_become": False, "network_allow_rename": True, "network_batch": 3,
            "network_report_directory": str(place / "report"),
        }
        (place / "hosts.yml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")

    def run(self, *words: str) -> tuple[int, list[list[str]], str]:
        """Return the exit status, the hosts of each batch that were given names, and what was shown."""
        done = playbooks.playbook(self.place, "-i", str(self.place / "hosts.yml"), "railyard.sglang.network", *words)
        assert "Traceback" not in done.stdout + done.stderr
        batches = re.findall(r": Give the names\] \*+\n(.*?)(?=^TASK|^PLAY)", done.stdout, re.S | re.M)
        return done.returncode, [sorted(re.findall(r"^\w+: \[(\w+)\]", text, re.M)) for text in batches], done.stdout

    def left(self, kind: str) -> set[str]:
        """Return the hosts whose change was begun, or done."""
        found = {path.stem.replace("-", ":") for path in self.place.glob(f"*.{kind}")}
        return {host for host in HOSTS if address(host) in found}


def test_one_host_then_batches_and_nothing_the_second_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    code, batches, shown = stage.run()
    assert code == 0, shown
    assert [len(batch) for batch in batches] == [1, 3, 1]
    assert batches[0] == ["p0"]
    assert (stage.left("done"), stage.left("begun")) == (set(HOSTS), set())
    code, batches, shown = stage.run()
    assert (code, batches) == (0, [])
    assert set(re.findall(r"changed=(\d+)", shown)) == {"0"}


@pytest.mark.parametrize("words", [["--check"], pytest.param(["-e", '{"network_dry_run": true}'], marks=pytest.mark.full)])
def test_nothing_is_begun_in_check_mode(tmp_path: Path, words: list[str]) -> None:
    stage = Stage(tmp_path)
    code, batches, shown = stage.run(*words)
    assert (code, batches) == (0, [])
    assert (stage.left("done"), stage.left("begun")) == (set(), set())
    assert "5 interfaces of 5 hosts, 5 of them would get another name" in shown


def test_the_first_host_fails_alone(tmp_path: Path) -> None:
    stage = Stage(tmp_path, p0={"fail": True})
    code, batches, shown = stage.run()
    assert (code != 0, batches) == (True, [["p0"]])
    assert "p0: Give the names: a fault of this test" in shown
    assert (stage.left("done"), stage.left("begun")) == (set(), set())


@pytest.mark.full
def test_a_failure_ends_the_run_after_its_batch(tmp_path: Path) -> None:
    stage = Stage(tmp_path, d0={"fail": True})
    code, batches, shown = stage.run()
    assert code != 0
    assert [len(batch) for batch in batches] == [1, 3]
    # What the others of the batch had under way is confirmed.
    assert (stage.left("done"), stage.left("begun")) == ({"p0", "p1", "d1"}, set())
    assert "d0 failed, and that ends the run. p1 itself is through; hosts after it were not changed" in shown


@pytest.mark.full
def test_a_host_that_is_refused_keeps_all_from_changing(tmp_path: Path) -> None:
    stage = Stage(tmp_path, d1={"problems": ["two profiles. Fix: remove one"]})
    code, batches, shown = stage.run()
    assert (code != 0, batches) == (True, [])
    assert "d1: nothing was changed on any host." in shown
    assert stage.left("begun") == set()


def test_a_host_whose_connection_breaks_is_asked_again(tmp_path: Path) -> None:
    stage = Stage(tmp_path, p0={"break": True})
    code, batches, shown = stage.run()
    assert code == 0, shown
    assert "UNREACHABLE" in shown
    assert [len(batch) for batch in batches] == [1, 3, 1]
    assert (stage.left("done"), stage.left("begun")) == (set(HOSTS), set())


@pytest.mark.full
def test_a_host_that_has_booted_with_its_new_names_is_confirmed(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    for host in HOSTS:
        kind = "begun" if host == "d0" else "done"
        (tmp_path / f"{address(host).replace(':', '-')}.{kind}").touch()
    code, batches, shown = stage.run("-e", "network_apply=boot")
    assert (code, batches) == (0, [["d0"]]), shown
    assert stage.left("done") == set(HOSTS)


@pytest.mark.parametrize("before", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_confirmation_whose_answer_is_lost_is_asked_for_again(tmp_path: Path, before: bool) -> None:
    stage = Stage(tmp_path, p0={"breaks": 1, "before": before})
    code, batches, shown = stage.run()
    assert code == 0, shown
    assert "UNREACHABLE" in shown
    assert [len(batch) for batch in batches] == [1, 3, 1]
    assert (stage.left("done"), stage.left("begun")) == (set(HOSTS), set())


@pytest.mark.full
@pytest.mark.parametrize(
    ("before", "said"),
    [
        (False, "The names were kept all the same: the host has the new ones."),
        (True, "It was undone at once: names, files and addresses are the former ones."),
    ],
)
def test_what_became_of_a_host_is_said_where_the_answer_is_lost_again(tmp_path: Path, before: bool, said: str) -> None:
    stage = Stage(tmp_path, p0={"breaks": 2, "before": before})
    code, batches, shown = stage.run()
    assert (code != 0, batches) == (True, [["p0"]])
    told = " ".join(shown.split())
    assert "p0: Go on only with the host as it is to be: the connection broke again" in told
    assert said in told
    assert (stage.left("done"), stage.left("undone")) == (({"p0"}, set()) if not before else (set(), {"p0"}))


@pytest.mark.full
def test_nothing_is_claimed_of_a_host_that_answers_no_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path, p0={"breaks": 9})
    code, batches, shown = stage.run()
    assert (code != 0, batches) == (True, [["p0"]])
    told = " ".join(shown.split())
    assert "After that: Go on only with answers: the connection broke again" in told
    assert "No engine was stopped" in told
