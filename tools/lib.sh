# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by the other tools: strict mode, the repository root as working directory, and a few helpers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
: "${RAILYARD_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/railyard-sglang}"
export ROOT RAILYARD_CACHE
# A company's network may have a certificate authority of its own: the system's store knows it, the one that uv brings along does not.
if [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ]; then
  export UV_SYSTEM_CERTS=${UV_SYSTEM_CERTS:-1}
fi
# Colours are for people.
[ -t 1 ] || export NO_COLOR=1

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Print the first Python on this machine that runs the pinned ansible-core and can make virtual environments.
find_python() {
  local candidate
  for candidate in ${RAILYARD_PYTHON:-python3.11 python3.12 python3.13 python3 /usr/bin/python3}; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return 0
    fi
  done
  return 1
}

# Run a command as root: directly, or by sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "this needs root: $* (run as root, or install sudo)"
  fi
}

# The lab's hosts are started and reached as root, by sudo from processes of ansible-playbook that have no terminal: they cannot ask
# for a password, and one given to sudo on this terminal does not count for them.
be_able_to_become_root() {
  if [ "$(id -u)" -ne 0 ] && ! setsid --wait sudo -n true </dev/null 2>/dev/null; then
    die "the lab's hosts are started as root: run the same command as root, or as a user who may use sudo without a password"
  fi
}

# Seconds since $1, an earlier value of EPOCHREALTIME.
seconds_since() {
  local now=$EPOCHREALTIME
  local micro=$((${now/[.,]/} - ${1/[.,]/}))
  printf '%d.%d' $((micro / 1000000)) $((micro / 100000 % 10))
}
