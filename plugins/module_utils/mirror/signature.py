# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of a manifest by ssh-keygen (OpenSSH 8.2 or later): Ed25519, RSA, or a key on a security token."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Dict, List, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.stack.errors import StackError

NAMESPACE = "mirror@railyard.sglang"
IDENTITY = "mirror"
SECONDS = 60
PROGRAM = "ssh-keygen"
KINDS = ("ssh-", "sk-", "ecdsa-")


def digest_of(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def environment() -> Dict[str, str]:
    """Return the environment of ssh-keygen: nothing may ask a question; an agent may hold the key."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SSH_AUTH_SOCK") if name in os.environ}
    return {**kept, "LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}


def _run(arguments: Sequence[str], text: str, subject: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [PROGRAM, *arguments], input=text, capture_output=True, text=True, check=False, timeout=SECONDS, env=environment(),
            start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise StackError(subject, f"{PROGRAM} is not there", "install the client of OpenSSH, 8.2 or later") from error
    except subprocess.TimeoutExpired as error:
        raise StackError(subject, f"{PROGRAM} did not end within {SECONDS} s", "use a key without a passphrase, or ssh-agent") from error


def public_of(key: Path, subject: str) -> str:
    """Return the public half of a key, as a line of a C(.pub) file has it; empty where nobody says it without a question.

    :param key: a private key, or a public one.
    """
    try:
        text = key.read_text(encoding="utf-8", errors="replace")
        if text.startswith(KINDS):
            return text.strip()
        done = _run(["-y", "-P", "", "-f", str(key)], "", subject)
        return done.stdout.strip() if done.returncode == 0 else key.with_name(key.name + ".pub").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def sign(text: str, key: Path, subject: str) -> str:
    """Return the signature of a text.

    :param key: a private key, or a public one whose private key is in ssh-agent.
    """
    if not key.is_file():
        fix = "name a file made by ssh-keygen -t ed25519 in mirror_key"
        raise StackError(subject, f"the key {key} is not there", fix)
    done = _run(["-Y", "sign", "-q", "-f", str(key), "-n", NAMESPACE], text, subject)
    if done.returncode != 0 or "BEGIN SSH SIGNATURE" not in done.stdout:
        fix = "use a key without a passphrase with mode 0600, or its public key with ssh-agent"
        raise StackError(subject, f"{PROGRAM} could not sign with {key}: {' '.join(done.stderr.split())[-300:]}", fix)
    return done.stdout


def _check_signers(signers: Sequence[str], subject: str) -> List[str]:
    """Return lines of an allowed_signers file for public keys."""
    if not signers:
        raise StackError(subject, "no public key is given", "name those that may sign a mirror (the text of a .pub file)")
    lines = []
    for signer in signers:
        words = signer.split()
        if len(words) < 2 or not words[0].startswith(KINDS) or "\n" in signer.strip():
            raise StackError(subject, f"{signer.strip()[:60]!r} is no public key", "use the one line of a .pub file")
        lines.append(f'{IDENTITY} namespaces="{NAMESPACE}" {words[0]} {words[1]}\n')
    return lines


def verify(text: str, signature: str, signers: Sequence[str], subject: str) -> None:
    """Raise StackError unless one of the signers has signed the text.

    :param signers: public keys, as the line of a .pub file has them.
    """
    lines = _check_signers(signers, subject)
    with tempfile.TemporaryDirectory() as work:
        allowed, signed = Path(work, "allowed"), Path(work, "signature")
        allowed.write_text("".join(lines), encoding="utf-8")
        signed.write_text(signature, encoding="utf-8")
        words = ["-Y", "verify", "-f", str(allowed), "-I", IDENTITY, "-n", NAMESPACE, "-s", str(signed)]
        done = _run(words, text, subject)
    if done.returncode != 0:
        said = " ".join((done.stdout + done.stderr).split())[-300:]
        fix = "if nobody has changed the mirror, name the public key that it is signed with; otherwise do not install from it"
        if "unknown option" in said or "illegal option" in said:
            fix = "update OpenSSH on this host to 8.2 or later (RHEL 8 has 8.0), or take the mirror to it by stack_wheels"
        raise StackError(subject, f"the signature of the manifest is not good: {said}", fix)
