# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the engine's unit to a transient unit that measures: the same user, limits, devices and hardening."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Sequence

# What a measuring process must not share with a serving one: how it starts and ends, and directories, which systemd would remove
# at its end.
OWN = frozenset((
    "Type", "ExecStart", "ExecStartPre", "ExecStartPost", "ExecCondition", "ExecReload", "ExecStop", "ExecStopPost", "Restart",
    "RestartSec", "RestartSteps", "RestartMaxDelaySec", "RestartPreventExitStatus", "RestartForceExitStatus",
    "SuccessExitStatus", "RemainAfterExit", "GuessMainPID", "PIDFile", "BusName", "NotifyAccess", "WatchdogSec", "KillMode",
    "KillSignal", "SendSIGKILL", "FinalKillSignal", "TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "TimeoutAbortSec",
    "RuntimeMaxSec", "WorkingDirectory", "StateDirectory", "CacheDirectory", "RuntimeDirectory", "LogsDirectory",
    "ConfigurationDirectory", "RuntimeDirectoryPreserve", "StateDirectoryMode", "CacheDirectoryMode", "RuntimeDirectoryMode",
    "EnvironmentFile", "StandardInput", "StandardOutput", "StandardError", "LogRateLimitIntervalSec", "LogRateLimitBurst",
    "LoadCredential", "LoadCredentialEncrypted", "SetCredential", "Sockets", "FileDescriptorStoreMax", "OOMPolicy",
))
STOP_SECONDS = 3


@dataclass
class Hardening:
    """Properties of the engine's unit.

    :ivar user: who runs it; empty means root.
    :ivar dynamic: that user does not exist, so systemd makes one up.
    """

    user: str
    dynamic: bool
    properties: List[str] = field(default_factory=list)

    @property
    def said(self) -> str:
        """Who measures, in words."""
        return f"a dynamic user, since {self.user} does not exist yet" if self.dynamic else self.user or "root"

    def value(self, name: str) -> str:
        """Return the last value of a property, or an empty text."""
        found = [line.partition("=")[2] for line in self.properties if line.startswith(name + "=")]
        return found[-1] if found else ""


def _lines(text: str) -> List[str]:
    """Return the assignments of the sections [Service] of a unit, with its drop-ins, continued lines joined."""
    joined: List[str] = []
    for line in text.splitlines():
        if joined and joined[-1].endswith("\\"):
            # A comment between continued lines is skipped.
            joined[-1] = joined[-1] if line.lstrip().startswith(("#", ";")) else joined[-1][:-1] + " " + line.strip()
        else:
            joined.append(line.strip())
    section, found = "", []
    for line in joined:
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            name, _equal, value = line.partition("=")
            found.append(f"{name.strip()}={value.strip()}")
    return found


def hardening(text: str, exists: bool) -> Hardening:
    """Return what a measuring process takes from the text of a unit.

    :param exists: whether the unit's user exists on the host.
    """
    kept = [line for line in _lines(text) if line.partition("=")[0] not in OWN]
    user = next((line.partition("=")[2] for line in reversed(kept) if line.startswith("User=")), "")
    dynamic = bool(user) and not exists
    if dynamic:
        kept = ["DynamicUser=yes", *(line for line in kept if line.partition("=")[0] not in ("User", "Group", "DynamicUser"))]
    return Hardening(user, dynamic, kept)


def command(name: str, given: Hardening, words: Sequence[str], seconds: int, environment: Dict[str, str]) -> List[str]:
    """Return the command that runs words as a transient unit and waits for its end.

    :param name: of the unit, without suffix.
    :param seconds: after which systemd itself ends it, whatever became of its starter.
    """
    properties = [*given.properties, "WorkingDirectory=/", "KillMode=control-group", f"TimeoutStopSec={STOP_SECONDS}",
                  f"RuntimeMaxSec={seconds}"]
    line = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--service-type=exec", f"--unit={name}",
            "--description=Fabric test of railyard.sglang"]
    for row in properties:
        line += ["--property", row]
    for key, value in sorted(environment.items()):
        line.append(f"--setenv={key}={value}")
    # The service manager replaces $NAME in arguments.
    return [*line, "--", *(word.replace("$", "$$") for word in words)]
