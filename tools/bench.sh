#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What things cost: tools/bench.sh [arguments of bench_no_change.py]   a no-change site.yml on the running lab
#                   tools/bench.sh plan [arguments of bench_plan.py]   the plan from 8 to 1,000 hosts, with the curve as a picture
. "$(dirname "$0")/lib.sh"
tools/bootstrap.sh runtime
export PATH=$ROOT/.venv/bin:$PATH
output=tests/output/bench
if [ "${1:-}" = plan ]; then
  shift
  exec python tests/bench/bench_plan.py --playbook --out "$output/plan.json" --plot "$output/plan.svg" "$@"
fi
exec python tests/bench/bench_no_change.py --out "$output/no_change.json" "$@"
