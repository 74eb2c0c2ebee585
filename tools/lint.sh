#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every linter, quick ones first. All of them run, so that one look shows all findings; the exit status says if any failed.
. "$(dirname "$0")/lib.sh"
tools/bootstrap.sh runtime dev
export PATH=$ROOT/.venv-dev/bin:$PATH
export ANSIBLE_COLLECTIONS_PATH=$ROOT/.tree ANSIBLE_HOME=$ROOT/.ansible

failed=()
gate() { # name, command ...
  local name=$1 start=$EPOCHREALTIME
  shift
  if ! "$@"; then failed+=("$name"); fi
  printf 'lint: %-10s %6s s\n' "$name" "$(seconds_since "$start")"
}

mapfile -t shell < <(git ls-files -co --exclude-standard -- '*.sh' .ci/run)
mapfile -t python_on_hosts < <(git ls-files -co --exclude-standard -- 'plugins/modules/*.py' 'plugins/module_utils/*.py' ':!plugins/module_utils/launch' ':!plugins/module_utils/diagnose')

gate ruff ruff check --quiet .
gate yamllint yamllint --strict .
[ ${#shell[@]} -eq 0 ] || gate shellcheck shellcheck --external-sources --source-path=SCRIPTDIR "${shell[@]}"
# Managed hosts may have Python 3.9: neither its grammar nor its standard library may be exceeded there.
[ ${#python_on_hosts[@]} -eq 0 ] || gate python3.9 vermin --quiet --no-tips --violations --target=3.9- "${python_on_hosts[@]}"
[ ! -d plugins ] || gate mypy mypy
gate changelog antsibull-changelog lint
gate ansible ansible-lint -q

[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
