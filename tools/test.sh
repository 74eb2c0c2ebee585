#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The tests, quick ones first: tools/test.sh [--full] [stage ...]   (default: all stages)
# The first stage that fails ends the run. Seconds per stage and the tests counted by pytest come last.
. "$(dirname "$0")/lib.sh"

mark='not full'
scenarios=(--scenario-name default)
if [ "${1:-}" = --full ]; then
  shift
  mark='full or not full'
  scenarios=(--all)
fi

# The stages, in order. A new one is a name here and a function of that name.
STAGES=(static unit units build wheels lab nics parsers molecule)
# Parts of a stage that can be asked for by themselves.
PARTS=(lint sanity)
lint() { tools/lint.sh; }
sanity() { tools/ansible_test.sh sanity; }
# Each of the two keeps one processor busy. What the slower one says comes after the other's.
static() {
  local log=$ROOT/tests/output/sanity.log rc=0
  set -m
  sanity >"$log" 2>&1 &
  set +m
  beside+=($!)
  lint || rc=$?
  wait "${beside[-1]}" || rc=$?
  beside=()
  cat "$log"
  return "$rc"
}
# What needs a real parser, or the stack's torch, has a stage of its own.
PARSED=(tests/unit/test_real_parsers.py tests/unit/test_real_inventories.py tests/unit/test_allreduce_program.py tests/unit/inventories/test_documented.py::test_the_real_parser_reads_the_same_in_a_document)
# The tests of the plugins but for module_utils: a short run of both stages leaves them to ansible-test.
plugin_tests() { git ls-files -co --exclude-standard tests/unit/plugins | grep '/test_[^/]*[.]py$' | grep -v /module_utils/; }
unit() {
  local left_out=("${PARSED[@]:0:3}")
  [[ $mark != 'not full' || " ${chosen[*]} " != *' units '* ]] || mapfile -t -O 3 left_out < <(plugin_tests)
  run_pytest -m "$mark" -n 2 tests/unit "${left_out[@]/#/--ignore=}" --deselect="${PARSED[3]}"
}
# Under ansible-test's rules, each in a process of its own: the long run takes the tests of module_utils, too.
units() {
  local paths=()
  [ "$mark" != 'not full' ] || mapfile -t paths < <(plugin_tests)
  tools/ansible_test.sh units "${paths[@]}"
}
build() { run_pytest -m "$mark" -n 2 --dist loadfile tests/integration; }
wheels() {
  local more=''
  # The long run goes to the other version of the engine and back.
  [ "$mark" = 'not full' ] || more=', sglang-0.5.23-cpu, smg-1.13.0'
  ansible-playbook playbooks/wheels.yml -e "{wheels_stacks: [sglang-0.5.8-cpu, sglang-router-0.3.2$more]}" \
    -e "wheels_directory=$RAILYARD_CACHE/wheels" -e "wheels_index=${WHEELS_INDEX:-}"
}
lab() {
  local left_out=()
  [ "$mark" = 'not full' ] || left_out=(--ignore-glob='*/test_qemu_nic_*')
  be_able_to_become_root && run_pytest -m "$mark" tests/lab "${left_out[@]}"
}
# The long tests of interface names: an emulated processor is busy with one generation, so that both run side by side.
nics() {
  [ "$mark" != 'not full' ] || return 0
  local networks=() generations=(bookworm trixie) index rc=0
  be_able_to_become_root || return 1
  mapfile -t networks < <(PYTHONPATH=$ROOT/.tree python tests/lab/lab_networks.py 2)
  set -m
  for index in 0 1; do
    RAILYARD_LAB_MANAGEMENT_NETWORK=${networks[index]% *} RAILYARD_LAB_FABRIC_NETWORK=${networks[index]#* } \
      run_pytest --junit-xml="$results/nics-${generations[index]}.xml" -k "${generations[index]}" tests/lab/test_qemu_nic_*.py &
    beside+=($!)
  done
  set +m
  for index in "${beside[@]}"; do wait "$index" || rc=$?; done
  beside=()
  return "$rc"
}
molecule() { be_able_to_become_root && tools/molecule.sh test --no-command-borders "${scenarios[@]}"; }

# The real argument parsers, in the stacks that the lab's builder has left in the store. Nothing may be skipped here.
tree() { # the newest finished tree of a stack
  local marker
  marker=$(find "$RAILYARD_CACHE/store" -mindepth 2 -maxdepth 2 -path "*/$1-????????????/.stack.json" -printf '%T@ %h\n' | sort -n | tail -n 1)
  [ -n "$marker" ] || die "the store $RAILYARD_CACHE/store holds no finished $1: run stage lab first"
  printf '%s' "${marker#* }"
}
parsers() {
  local log=$ROOT/tests/output/parsers.log engine router
  engine=$(tree sglang-0.5.8-cpu)/bin/python router=$(tree sglang-router-0.3.2)/bin/python
  if ! "$engine" -c '' || ! "$router" -c ''; then
    die "this machine lacks the Python that the lab's hosts have, $(readlink -f "$engine"): install it"
  fi
  export RAILYARD_STACK_PYTHON=$engine RAILYARD_ROUTER_PYTHON=$router
  # Of the newer versions the long run makes an environment with the parser alone.
  if [ "$mark" != 'not full' ]; then
    local folder=$RAILYARD_CACHE/parsers
    tools/flag_table.sh --environment sglang==0.5.23 "$folder/sglang-0.5.23"
    tools/flag_table.sh --environment smg==1.13.0 "$folder/smg-1.13.0"
    export RAILYARD_STACK_0523_PYTHON=$folder/sglang-0.5.23/bin/python RAILYARD_SMG_PYTHON=$folder/smg-1.13.0/bin/python
    run_pytest "${PARSED[@]}" | tee "$log" || return 1
  else
    run_pytest -m "$mark" -k 'not 0.5.23 and not smg' "${PARSED[@]}" | tee "$log" || return 1
  fi
  ! grep -q skipped "$log" || die "tests of the real parsers were skipped"
}

results=$ROOT/tests/output/results
run_pytest() { PYTHONPATH=$ROOT/.tree pytest --quiet --junit-xml="$results/$stage.xml" "$@"; }

# Add up one attribute of the test suites in pytest's result files.
count() { { cat "$results"/*.xml 2>/dev/null || true; } | { grep -o "<testsuite [^>]*" || true; } | sed "s/.* $1=\"\([0-9]*\)\".*/\1/" | awk '{ n += $1 } END { print n + 0 }'; }

# Process groups of their own: Ctrl-C reaches the others alone.
beside=()
summary() {
  local status=$? bad skipped other
  for other in "${beside[@]}"; do kill -- "-$other" 2>/dev/null || true; done
  say ''
  printf '%s\n' "${seconds[@]}"
  printf '  %-10s %8s s\n' total "$(seconds_since "$begin")"
  bad=$(($(count failures) + $(count errors)))
  skipped=$(count skipped)
  say "pytest: $(($(count tests) - bad - skipped)) passed, $bad failed, $skipped skipped"
  [ "$status" -eq 0 ] || say "FAILED in stage $stage. That stage alone: tools/test.sh $stage"
}

chosen=("$@")
[ $# -gt 0 ] || chosen=("${STAGES[@]}")
for stage in "${chosen[@]}"; do
  [[ " ${STAGES[*]} ${PARTS[*]} " = *" $stage "* ]] || die "no such stage: $stage (there are: ${STAGES[*]}; of static alone: ${PARTS[*]})"
done

begin=$EPOCHREALTIME
seconds=()
tools/os_packages.sh test
[ "$mark" = 'not full' ] || tools/os_packages.sh qemu
tools/bootstrap.sh runtime test dev
export PATH=$ROOT/.venv-test/bin:$ROOT/.venv-uv/bin:$PATH ANSIBLE_COLLECTIONS_PATH=$ROOT/.tree
rm -rf "$results"
mkdir -p "$results"
trap summary EXIT
for stage in "${chosen[@]}"; do
  say "== $stage"
  start=$EPOCHREALTIME
  rc=0
  "$stage" </dev/null || rc=$?
  seconds+=("$(printf '  %-10s %8s s' "$stage" "$(seconds_since "$start")")")
  [ "$rc" -eq 0 ] || exit "$rc"
done
