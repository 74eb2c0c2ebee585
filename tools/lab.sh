#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Start or remove the lab: tools/lab.sh up|down [arguments of ansible-playbook]
. "$(dirname "$0")/lib.sh"
be_able_to_become_root
case ${1:-} in
  up)
    tools/os_packages.sh
    [ "${RAILYARD_LAB_BACKEND:-}" != qemu ] || tools/os_packages.sh qemu
    ;;
  down) ;;
  *) die "up or down?" ;;
esac
tools/bootstrap.sh runtime
playbook=playbooks/lab_$1.yml
shift
exec .venv/bin/ansible-playbook -i "${RAILYARD_INVENTORY:-inventory/lab}" "$playbook" "$@"
