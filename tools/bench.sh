#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What things cost: tools/bench.sh [arguments of bench_no_change.py]   a no-change site.yml on the running lab
#                   tools/bench.sh plan [arguments of bench_plan.py]   the plan from 8 to 1,000 hosts, with the curve as a picture
#                   tools/bench.sh rdma [arguments of bench_rdma_facts.py]   the RDMA facts; --live: of this machine, against the usual tools
. "$(dirname "$0")/lib.sh"
tools/bootstrap.sh runtime
export PATH=$ROOT/.venv/bin:$PATH
output=tests/output/bench
case "${1:-}" in
  plan)
    shift
    exec python tests/bench/bench_plan.py --playbook --out "$output/plan.json" --plot "$output/plan.svg" "$@"
    ;;
  rdma)
    shift
    export PYTHONPATH=$ROOT/.tree
    exec python tests/bench/bench_rdma_facts.py --out "$output/rdma_facts.json" "$@"
    ;;
esac
exec python tests/bench/bench_no_change.py --out "$output/no_change.json" "$@"
