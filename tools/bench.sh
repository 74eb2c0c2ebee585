#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What things cost: tools/bench.sh [arguments of bench_no_change.py]   a no-change site.yml on the running lab
#                   tools/bench.sh plan [arguments of bench_plan.py]   the plan from 8 to 1,000 hosts, with the curve as a picture
#                   tools/bench.sh model [arguments of bench_model_fanout.py]   a model to seven hosts, against one copy and a star; as root
#                   tools/bench.sh stack [arguments of bench_stack_install.py]   a stack from a local wheel directory, against pip with the same lock
#                   tools/bench.sh nic [arguments of bench_nic_names.py]   eight interface names on a running virtual machine, against a loop of tasks
#                   tools/bench.sh rdma [arguments of bench_rdma_facts.py]   the RDMA facts; --live: of this machine, against the usual tools
#                   tools/bench.sh doctor [arguments of bench_doctor.py]   a gigabyte of logs, against ripgrep or grep with the same literals
. "$(dirname "$0")/lib.sh"
tools/bootstrap.sh runtime
export PATH=$ROOT/.venv/bin:$PATH
output=tests/output/bench
case "${1:-}" in
  plan)
    shift
    exec python tests/bench/bench_plan.py --playbook --out "$output/plan.json" --plot "$output/plan.svg" "$@"
    ;;
  model)
    shift
    export PYTHONPATH=$ROOT/.tree
    exec python tests/bench/bench_model_fanout.py --out "$output/model_fanout.json" "$@"
    ;;
  stack)
    shift
    export PYTHONPATH=$ROOT/.tree
    exec python tests/bench/bench_stack_install.py --out "$output/stack_install.json" "$@"
    ;;
  nic)
    shift
    exec python tests/bench/bench_nic_names.py --out "$output/nic_names.json" "$@"
    ;;
  rdma)
    shift
    export PYTHONPATH=$ROOT/.tree
    exec python tests/bench/bench_rdma_facts.py --out "$output/rdma_facts.json" "$@"
    ;;
  doctor)
    shift
    export PYTHONPATH=$ROOT/.tree
    exec python tests/bench/bench_doctor.py --out "$output/doctor.json" "$@"
    ;;
esac
exec python tests/bench/bench_no_change.py --out "$output/no_change.json" "$@"
