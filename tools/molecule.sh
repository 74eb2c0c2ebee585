#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# molecule with this repository's layout: tools/molecule.sh test --scenario-name default
# Without -c and MOLECULE_GLOB it would not read molecule/base.yml, match no host, and call that a success.
. "$(dirname "$0")/lib.sh"
tools/bootstrap.sh runtime dev
export PATH=$ROOT/.venv-dev/bin:$ROOT/.venv-uv/bin:$PATH
export MOLECULE_GLOB='molecule/*/molecule.yml'
export ANSIBLE_COLLECTIONS_PATH=$ROOT/.tree
export ANSIBLE_HOME=$ROOT/.ansible
export RAILYARD_LAB_NAME=${RAILYARD_LAB_NAME:-molecule}
# The runs of one call of molecule are counted from one.
export RAILYARD_RUN_LOG=$ROOT/tests/output/molecule
rm -rf "$RAILYARD_RUN_LOG"
exec molecule -c molecule/base.yml "$@"
