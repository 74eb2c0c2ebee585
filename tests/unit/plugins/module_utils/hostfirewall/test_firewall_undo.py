# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The undo of a change: files byte for byte, whenever it is cut off, and the confirmation. The script is run by the real shell."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import apply, firewalld, look, nft, undo
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Plan, Seen
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostfirewall.filtered_host import HOST, seen
from ansible_collections.railyard.sglang.tests.unit.support.programs import environment

ZONE, OPERATOR = firewalld.OWN_ZONES["railyard-fabric"], f"{firewalld.ZONES}/o'perator.xml"
PROFILE = "/etc/NetworkManager/system-connections/a b.nmconnection"
GONE = f"{firewalld.IPSETS}/railyard-000000000000-4.xml"
CHANGE = Plan(files={ZONE: b"<zone/>\n", OPERATOR: b"<zone>new</zone>\n", PROFILE: b"[connection]\nzone=railyard-fabric\n", GONE: None},
              record={"version": 1, "profiles": {}, "taken": {}})
FULL = replace(CHANGE, reload=True, manager=True, touched={PROFILE: "u-1"}, moves={"fab0": "railyard-fabric"}, load=True, linked=True)
Ran = list[list[str]]


def runner(fails: str = "") -> tuple[Ran, look.Runner]:
    """Return what was run, and what stands for systemd, firewalld and NetworkManager; the shell is the real one.

    :param fails: beginning of a command that fails.
    """
    ran: Ran = []

    def run(argv: list[str]) -> tuple[int, str, str]:
        ran.append(argv)
        if fails and " ".join(argv).startswith(fails):
            return 1, "", "it failed"
        if argv[0] == "/bin/sh":
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout, done.stderr
        return 0, "", ""

    return ran, run


def tree(base: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and mode of every file, without the state of our own."""
    paths = [path for path in base.rglob("*") if path.is_file() and not path.is_symlink()]
    return {
        str(path.relative_to(base)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in paths
        if "railyard.sglang" not in path.parts and undo.TIMER not in path.name and path.parent != base / "run"
    }


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for path, mode in ((OPERATOR, 0o640), (PROFILE, 0o600), (GONE, 0o644)):
        place = tmp_path / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(f"former {path}\r\n\xff".encode("latin-1"))
        place.chmod(mode)
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    return tmp_path


def carry_out(base: Path, run: look.Runner, plan: Plan = CHANGE, before: Seen | None = None) -> str:
    return apply.carry_out(str(base), run, before or seen(), plan, seconds=60)


def test_a_change_and_its_undo(base: Path) -> None:
    before = tree(base)
    ran, run = runner()
    identity = carry_out(base, run)
    assert undo.open_change(str(base)) == identity
    changed = tree(base)
    assert changed[ZONE[1:]] == (CHANGE.files[ZONE], 0o644)
    # A file keeps its mode: a profile may hold secrets.
    assert changed[PROFILE[1:]] == (CHANGE.files[PROFILE], 0o600)
    assert GONE[1:] not in changed
    units = {path: (base / path[1:]).read_text(encoding="utf-8") for path in (undo.TIMER_PATH, undo.SERVICE_PATH)}
    # It tries again where the first time does not come to its end.
    times = [line for line in units[undo.TIMER_PATH].splitlines() if line.startswith("On")]
    assert times == [f"OnActiveSec={seconds}s" for seconds in (60, 360, 960, 1860)]
    assert ["systemctl", "restart", "railyard-firewall-undo.timer"] in ran
    undo.now(str(base), run)
    assert tree(base) == before
    assert undo.open_change(str(base)) == ""
    state = base / look.STATE[1:]
    assert sorted(path.name for path in state.iterdir()) == ["undone"]
    assert not any(os.path.lexists(str(base) + path) for path in (undo.BOOT_LINK, undo.BOOT_PATH, undo.TIMER_PATH, undo.SERVICE_PATH))
    changed_, fault = undo.confirm(str(base), run, identity, None)
    assert (changed_, "was undone" in fault) == (False, True)


def test_a_confirmed_change_stays(base: Path) -> None:
    _ran, run = runner()
    identity = carry_out(base, run)
    changed = tree(base)
    assert undo.confirm(str(base), run, identity, None) == (True, "")
    assert subprocess.run(["/bin/sh", str(base) + undo.SCRIPT], capture_output=True, check=False).returncode != 0
    assert tree(base) == changed
    assert look.record(str(base))["change"] == identity
    assert undo.confirm(str(base), run, identity, identity) == (False, "")
    assert "There is no change" in undo.confirm(str(base), run, "other", identity)[1]
    assert [path.name for path in (base / look.STATE[1:]).iterdir()] == ["record.json"]
    # A record that went with the change does not matter to who asks again.
    assert undo.confirm(str(base), run, identity, None) == (False, "")
    for path in (undo.BOOT_PATH, undo.BOOT_LINK, undo.TIMER_PATH, undo.SERVICE_PATH):
        assert not os.path.lexists(str(base) + path)


def test_a_timer_that_fires_in_the_middle_waits_for_the_end(base: Path) -> None:
    before = tree(base)
    _ran, run = runner()
    timers: list[subprocess.Popen[bytes]] = []

    def firing(argv: list[str]) -> tuple[int, str, str]:
        if argv[:2] == ["systemctl", "restart"]:
            timers.append(subprocess.Popen(["/bin/sh", str(base) + undo.SCRIPT]))
            with pytest.raises(subprocess.TimeoutExpired):
                timers[0].wait(0.5)
            assert (base / look.PENDING[1:]).is_dir()
        return run(argv)

    identity = carry_out(base, firing)
    assert timers[0].wait(20) == 0
    assert tree(base) == before
    assert "was undone" in undo.confirm(str(base), run, identity, None)[1]


def test_two_changes_at_once_are_refused(base: Path) -> None:
    carry_out(base, runner()[1])
    before = tree(base)
    with undo.alone(str(base)), pytest.raises(undo.UndoError, match="Another change"):
        carry_out(base, runner()[1])
    assert tree(base) == before


def test_what_the_timer_takes_at_the_same_moment_cannot_be_confirmed(base: Path) -> None:
    before = tree(base)
    _ran, run = runner()
    identity = carry_out(base, run)
    (base / look.PENDING[1:]).rename(base / undo.UNDOING[1:])
    assert "was undone" in undo.confirm(str(base), run, identity, None)[1]
    # It was cut off in the middle; the unit of the next boot goes on.
    (base / PROFILE[1:]).write_bytes(b"half")
    assert subprocess.run(["/bin/sh", str(base) + undo.SCRIPT, "boot"], capture_output=True, check=False).returncode == 0
    assert tree(base) == before


@pytest.mark.parametrize("fails", ["systemctl restart", "firewall-cmd --check-config", "firewall-cmd --reload", "nmcli"])
def test_a_change_that_fails_is_undone_at_once(base: Path, fails: str) -> None:
    before = tree(base)
    _ran, run = runner(fails)
    plan = replace(CHANGE, reload=True, manager=True)
    # What it undoes is not there to be told; that is not what is looked at here.
    with pytest.raises((apply.FirewallError, undo.UndoError), match="it failed"):
        carry_out(base, run, plan)
    assert tree(base) == before


def test_zones_come_before_profiles_that_name_them_and_go_after_them(base: Path) -> None:
    ran, run = runner()
    here: dict[str, bool] = {}

    def watching(argv: list[str]) -> tuple[int, str, str]:
        key = " ".join(argv[:2])
        here.setdefault(key, (base / PROFILE[1:]).read_bytes() == CHANGE.files[PROFILE])
        return run(argv)

    carry_out(base, watching, replace(CHANGE, reload=True, manager=True))
    assert (here["firewall-cmd --reload"], here["nmcli connection"]) == (False, True)
    here.clear()
    undo.confirm(str(base), run, undo.open_change(str(base)), None)
    (base / PROFILE[1:]).write_bytes(b"x")
    carry_out(base, watching, replace(CHANGE, reload=True, manager=True, record={}))
    assert (here["nmcli connection"], here["firewall-cmd --reload"]) == (True, True)
    assert [argv[0] for argv in ran if argv[0] in ("nmcli", "firewall-cmd")][-3:] == ["nmcli", "firewall-cmd", "firewall-cmd"]


def manager(base: Path, ran: Ran, known: str = "u-1") -> look.Runner:
    """Return what stands for a NetworkManager that writes a profile in its own way when it is updated."""
    run = runner()[1]

    def answer(argv: list[str]) -> tuple[int, str, str]:
        ran.append(argv)
        if argv[:1] == ["busctl"]:
            (base / PROFILE[1:]).write_bytes(b"in its own way")
        if argv[:2] == ["nmcli", "-t"]:
            return 0, f"{known}:/org/freedesktop/NetworkManager/Settings/7\n", ""
        return run(argv)

    return answer


def test_network_manager_takes_the_zone_over_and_the_file_stays_as_it_was_written(base: Path) -> None:
    ran: Ran = []
    carry_out(base, manager(base, ran), replace(CHANGE, manager=True, touched={PROFILE: "u-1"}))
    (updated,) = [argv for argv in ran if argv[0] == "busctl"]
    assert updated == [
        "busctl", "call", "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager/Settings/7",
        "org.freedesktop.NetworkManager.Settings.Connection", "Update2", "a{sa{sv}}ua{sv}", "0", "0", "0",
    ]
    assert [argv[1:3] for argv in ran if argv[0] == "nmcli"] == [["connection", "reload"], ["-t", "-f"], ["connection", "reload"]]
    assert tree(base)[PROFILE[1:]] == (CHANGE.files[PROFILE], 0o600)


def test_a_profile_that_network_manager_does_not_take_is_undone(base: Path) -> None:
    before = tree(base)
    with pytest.raises((apply.FirewallError, undo.UndoError), match="NetworkManager does not take"):
        carry_out(base, manager(base, [], known="another"), replace(CHANGE, manager=True, touched={PROFILE: "u-1"}))
    assert tree(base) == before


def prepared(base: Path, programs: Path, **bodies: str) -> Path:
    """Return the undo's script, with programs of the test, and with little patience.

    :param bodies: of the shell; a line for each call is in C(programs/called.NAME).
    """
    for name, body in bodies.items():
        program = programs / name.replace("_", "-")
        program.write_text(f'#!/bin/sh\necho "$*" >> {programs}/called.{program.name}\n{body}\n', encoding="utf-8")
        program.chmod(0o755)
    script = Path(str(base) + undo.SCRIPT)
    text = script.read_text(encoding="utf-8")
    for before, after in (
        ("export PATH=", f"export PATH={programs}:"), (f"limit={undo.STEP_SECONDS}\n", "limit=2\n"),
        (f"limit={undo.LATER_SECONDS} ;;", "limit=1 ;;"),
        (f"flock -w {undo.LOCK_SECONDS} 9", "flock -w 1 9"), ("flock -w 10 9", "flock -w 1 9"),
    ):
        assert before in text
        text = text.replace(before, after)
    script.write_text(text, encoding="utf-8")
    return script


def calls(programs: Path, name: str) -> list[str]:
    path = programs / f"called.{name}"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def undone(script: Path, mode: str = "timer") -> int:
    return subprocess.run(["/bin/sh", str(script), mode], capture_output=True, check=False, timeout=60).returncode


RULE = "tcp dport 22 accept comment \"railyard-last-resort\""


def test_what_hangs_is_ended_and_ssh_is_let_in_until_the_next_try(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = tree(base)
    carry_out(base, runner()[1], replace(CHANGE, reload=True))
    programs = tmp_path_factory.mktemp("bin")
    hung = {"firewall_cmd": "sleep 100", "systemctl": "", "nft": 'case "$*" in "list "*) exit 0 ;; esac'}
    script = prepared(base, programs, **hung)
    assert undone(script) == 1
    # The files are back all the same, and it is still open.
    assert tree(base) == before
    assert undo.open_change(str(base))
    inserted = [call for call in calls(programs, "nft") if call.startswith("insert")]
    assert inserted == [f"insert rule inet railyard_sglang input {RULE}", f"insert rule inet firewalld filter_INPUT {RULE}"]
    assert calls(programs, "systemctl") == []
    # The next time it works.
    (programs / "firewall-cmd").write_text("#!/bin/sh\n", encoding="utf-8")
    assert undone(script) == 0
    assert undo.open_change(str(base)) == ""
    assert calls(programs, "systemctl") == ["stop railyard-firewall-undo.timer", "daemon-reload"]
    assert not script.exists()


def test_a_try_that_was_cut_off_lets_ssh_in(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    carry_out(base, runner()[1])
    programs = tmp_path_factory.mktemp("bin")
    # A firewalld that keeps its rules elsewhere.
    own = {"nft": "exit 1", "firewall_cmd": 'case "$1" in --get-zones) echo public "railyard-mgmt" ;; esac', "systemctl": ""}
    script = prepared(base, programs, **own)
    assert undone(script, "open") == 0
    opened = [call for call in calls(programs, "firewall-cmd") if "add-port" in call]
    assert opened == ["--zone=public --add-port=22/tcp", "--zone=railyard-mgmt --add-port=22/tcp"]
    assert undone(script) == 0
    # Nothing is open any more, and the unit finds no script to let anything in.
    assert not script.exists()
    assert f"if [ -e {undo.SCRIPT} ]; then exec /bin/sh {undo.SCRIPT} open; fi" in undo.SERVICE_UNIT


HOLDS = """
import sys, time
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import undo
with undo.alone(sys.argv[1]):
    if sys.argv[2:]:
        open(sys.argv[1] + undo.LOCK, "w").write(sys.argv[2])
    print("held", flush=True)
    time.sleep(100)
"""


def holding(base: Path, *words: str) -> subprocess.Popen[str]:
    """Return a process that holds the lock of changes."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(base), *words], stdout=subprocess.PIPE, text=True, env=environment())
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_change_that_hangs_is_ended_by_the_timer_and_by_nobody_else(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = tree(base)
    carry_out(base, runner()[1])
    script = prepared(base, tmp_path_factory.mktemp("bin"), systemctl="")
    with holding(base) as holder:
        try:
            assert undone(script, "now") == 1
            assert holder.poll() is None
            assert undone(script) == 0
            assert holder.wait(10) == -9
        finally:
            holder.kill()
    assert tree(base) == before


def test_nobody_else_is_ended_for_a_number_that_the_lock_has(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = tree(base)
    carry_out(base, runner()[1])
    script = prepared(base, tmp_path_factory.mktemp("bin"), systemctl="")
    with subprocess.Popen(["sleep", "100"]) as other, holding(base, str(other.pid)) as holder:
        try:
            # What still holds it has had its time.
            assert undone(script) == 0
            assert (other.poll(), holder.poll()) == (None, None)
        finally:
            other.kill()
            holder.kill()
    assert tree(base) == before


def test_the_boot_that_fails_leaves_it_to_the_timer(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    carry_out(base, runner()[1])
    programs = tmp_path_factory.mktemp("bin")
    script = prepared(base, programs, systemctl="", nft="", cp='case "$*" in *b.nmconnection*) exit 1 ;; esac; exec /bin/cp "$@"')
    assert undone(script, "boot") == 1
    assert calls(programs, "systemctl") == ["--no-block start railyard-firewall-undo.timer"]
    assert calls(programs, "nft") == []
    assert undo.open_change(str(base))


def test_the_undo_has_the_profile_taken_over_and_written_back(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = tree(base)
    carry_out(base, manager(base, []), replace(CHANGE, manager=True, touched={PROFILE: "u-1"}))
    programs = tmp_path_factory.mktemp("bin")
    script = prepared(
        base, programs, nmcli='case "$*" in *DBUS-PATH*) echo "u-0:/x"; echo "u-1:/settings/7" ;; esac',
        busctl=f'echo "$*" > {programs}/called; echo other > "{base}{PROFILE}"',
    )
    assert subprocess.run(["/bin/sh", str(script)], capture_output=True, check=False).returncode == 0
    assert tree(base) == before
    service = "org.freedesktop.NetworkManager"
    wanted = f"call {service} /settings/7 {service}.Settings.Connection Update2 a{{sa{{sv}}}}ua{{sv}} 0 0 0\n"
    assert (programs / "called").read_text(encoding="utf-8") == wanted
    assert all(line.startswith("bounded ") for line in undo._live("", seen(), FULL).splitlines() if not line.startswith((".", "update")))


OPERATIONS = ("rename", "unlink", "mkdir", "symlink", "fchmod", "fsync")


def cut_off(base: Path, after: int) -> bool:
    """Carry a change out in a process of its own that ends at once after so many calls; return whether it came to its end."""
    child = os.fork()
    if child == 0:
        count = 0

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*words: Any, **more: Any) -> Any:
                nonlocal count
                count += 1
                if count > after:
                    os._exit(9)
                return real(*words, **more)

            return call

        try:
            for name in OPERATIONS:
                setattr(os, name, counted(getattr(os, name)))
            carry_out(base, runner()[1])
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_cut_off_anywhere_it_is_undone_at_the_next_boot(tmp_path_factory: pytest.TempPathFactory, base: Path) -> None:
    former = tree(base)
    begun = 0
    for after in range(400):
        place = tmp_path_factory.mktemp("cut") / "root"
        subprocess.run(["cp", "-a", str(base), str(place)], check=True)
        done = cut_off(place, after)
        open_ = undo.open_change(str(place))
        begun += bool(open_)
        if open_:
            # Where a change is open, the unit of the next boot is there to undo it.
            assert (place / undo.BOOT_LINK[1:]).is_symlink()
            assert (place / undo.BOOT_PATH[1:]).exists()
            rc = subprocess.run(["/bin/sh", str(place) + undo.SCRIPT, "boot"], capture_output=True, check=False).returncode
            assert rc == 0
        assert tree(place) == former, after
        if done:
            break
    assert done
    assert begun > 10


def test_what_an_open_change_would_give_back_is_planned_with(base: Path) -> None:
    _ran, run = runner()
    before = {OPERATOR: (base / OPERATOR[1:]).read_bytes(), ZONE: None, GONE: (base / GONE[1:]).read_bytes()}
    carry_out(base, run)
    held = undo.kept(str(base))
    assert {path: held[path] for path in before} == before
    found = apply.seen_of(str(base), lambda _argv: (127, "", ""), seen_wanted(), HOST)
    assert found.files[OPERATOR] == before[OPERATOR]
    assert ZONE not in found.files


def seen_wanted() -> Any:
    return apply.Wanted(present=False)


def test_a_record_that_cannot_be_read_is_refused(base: Path) -> None:
    path = base / look.RECORD[1:]
    path.parent.mkdir(parents=True)
    for text in ("{", "[]", '{"version": 7}'):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(look.LookError, match=r"Nothing was changed. Fix: "):
            look.record(str(base))


def test_nothing_is_left_of_our_own(base: Path) -> None:
    _ran, run = runner()
    identity = carry_out(base, run, replace(CHANGE, record={}))
    undo.confirm(str(base), run, identity, None)
    apply.forget(str(base))
    assert not (base / "var/lib/railyard.sglang").exists()


def test_the_units_are_what_systemd_takes(tmp_path: Path) -> None:
    analyze = "/usr/bin/systemd-analyze"
    if not os.path.exists(analyze):
        pytest.skip("needs systemd-analyze")
    timer = undo.TIMER_UNIT.replace("@TIMES@", "OnActiveSec=60s\nOnActiveSec=360s")
    rows = [(undo.BOOT, undo.BOOT_UNIT), (nft.UNIT, nft.SERVICE), (f"{undo.TIMER}.timer", timer)]
    rows.append((f"{undo.TIMER}.service", undo.SERVICE_UNIT))
    for name, text in rows:
        (tmp_path / name).write_text(text.replace("/usr/sbin/nft", "/bin/true"), encoding="utf-8")
        done = subprocess.run([analyze, "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if name in line] == []
