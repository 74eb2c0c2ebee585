#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Tests by plain pytest: tools/unit.sh [pytest arguments]   (default: tests/unit, as pyproject.toml says)
. "$(dirname "$0")/lib.sh"
tools/bootstrap.sh runtime test
export PATH=$ROOT/.venv-test/bin:$PATH
export PYTHONPATH=$ROOT/.tree ANSIBLE_COLLECTIONS_PATH=$ROOT/.tree ANSIBLE_HOME=$ROOT/.ansible
exec pytest -n 2 "$@"
