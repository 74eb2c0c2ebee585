#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# ssh into a host of the lab: lab-ssh.sh -F <state directory of the lab>/ssh_config [ssh's arguments]
# The lab's networks exist in a network namespace of their own only, which takes root to enter; ssh itself then runs as the caller.
config=
before=
for argument in "$@"; do
  if [ "$before" = -F ]; then
    config=$argument
    break
  fi
  before=$argument
done
if [ -z "$config" ]; then
  echo "lab-ssh.sh: which lab? Two arguments are missing: -F <state directory of the lab>/ssh_config" >&2
  exit 255
fi
if ! read -r namespace 2>/dev/null < "${config%/*}/namespace" || ! [ -e "$namespace" ]; then
  echo "The lab is not up (${config%/*}): start it with 'ansible-playbook -i inventory/lab playbooks/lab_up.yml'." >&2
  # A caller that is still writing when this ends would report the broken pipe instead of the line above.
  [ -t 0 ] || timeout 5 cat > /dev/null
  exit 255
fi
if [ "$(id -u)" -eq 0 ]; then
  exec nsenter --net="$namespace" -- ssh "$@"
fi
exec sudo -n -- nsenter --net="$namespace" --setuid "$(id -u)" --setgid "$(id -g)" -- ssh "$@"
