#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# From nothing to an answer: packages, tools, a lab of systemd hosts, the cluster on it, a chat through its router.
. "$(dirname "$0")/lib.sh"
begin=$EPOCHREALTIME
inventory=${RAILYARD_INVENTORY:-inventory/lab}

steps=()
step() { # name, command ...: run it and remember its seconds
  local name=$1 start=$EPOCHREALTIME
  shift
  "$@" || die "$name failed (see above); the same command goes on from here"
  steps+=("$(printf '  %-26s %7s s' "$name" "$(seconds_since "$start")")")
}

# Run two commands at the same time, each line of output marked with its name. Both run to their end even if one fails, since what
# a finished download or image leaves in the cache is not lost.
together() { # name1 command1 name2 command2
  local pids=() names=() failed=() index
  set -m # each its own process group, so that an interrupt can be passed on
  while [ $# -gt 0 ]; do
    (set -o pipefail; bash -c "$2" </dev/null 2>&1 | (trap '' INT; exec sed -u "s/^/[$1] /")) &
    pids+=($!) names+=("$1")
    shift 2
  done
  set +m
  # shellcheck disable=SC2064  # the process ids of now
  trap "kill -INT ${pids[*]/#/-} 2>/dev/null; wait; exit 130" INT TERM
  for index in "${!pids[@]}"; do
    wait "${pids[index]}" || failed+=("${names[index]}")
  done
  trap - INT TERM
  [ ${#failed[@]} -eq 0 ] || { say "failed: ${failed[*]}"; return 1; }
}

be_able_to_become_root
# The lab's hosts are of this machine's release.
if ! grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release; then
  say "note: the lab is tried on Debian 12 only. Its hosts are of this machine's release, and the CPU stack is locked for Python 3.11:"
  say "      where they have another Python, the stack stage refuses and says so (README, 'Two commands')."
fi
step 'operating system packages' tools/os_packages.sh
step 'local tools' tools/bootstrap.sh runtime
export PATH=$ROOT/.venv/bin:$ROOT/.venv-uv/bin:$PATH
step 'wheels and lab hosts' together \
  wheels "ansible-playbook playbooks/wheels.yml -e wheels_directory=$RAILYARD_CACHE/wheels -e wheels_index=${WHEELS_INDEX:-}" \
  lab "ansible-playbook -i $inventory playbooks/lab_up.yml"
step 'site.yml' ansible-playbook -i "$inventory" site.yml "$@"

say ''
printf '%s\n' "${steps[@]}"
printf '  %-26s %7s s\n' 'make demo' "$(seconds_since "$begin")"
say "The lab stays up: 'make lab-down' removes it."
