#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Cost of a no-change site.yml on the running lab: tools/bench.sh [arguments of bench_no_change.py]
. "$(dirname "$0")/lib.sh"
tools/bootstrap.sh runtime
export PATH=$ROOT/.venv/bin:$PATH
exec python tests/bench/bench_no_change.py --out tests/output/bench/no_change.json "$@"
