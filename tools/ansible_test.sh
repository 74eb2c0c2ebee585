#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ansible-test on a copy of this checkout: tools/ansible_test.sh sanity|units [ansible-test arguments]
# ansible-test insists on a real .../ansible_collections/railyard/sglang folder, and keeps its environments below $HOME: it gets both
# in the cache, so that neither the checkout nor the user's home is touched.
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || die "which command? sanity or units"
tools/bootstrap.sh runtime test dev
command=$1
shift

work=$RAILYARD_CACHE/ansible-test
mkdir -p "$work"
exec 9>"$work/lock"
flock 9

# Its sanity environments start from a get-pip.py that it fetches from a host of its own, which an offline machine or a company's
# network does not reach (github.com/ansible/ansible/issues/77304). The pip that Python brings along does the same.
pip=$(sed -n "s/^ *pip='\([0-9.]*\)',$/\1/p" .venv-test/lib/python3*/site-packages/ansible_test/_internal/python_requirements.py)
[ -n "$pip" ] || die "this ansible-test does not say which pip it wants"
mkdir -p "$work/home/.ansible/test/cache"
cat >"$work/home/.ansible/test/cache/get_pip_${pip//./_}.py" <<'PYTHON'
import subprocess, sys
arguments = [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip"])
sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "--disable-pip-version-check"] + arguments))
PYTHON

tree=$work/ansible_collections/railyard/sglang
rm -rf "$tree"
mkdir -p "$tree" "$work/bin"
# What git knows or would take, and is really there: a deleted file is still in the index until the next commit.
git ls-files -co --exclude-standard -z |
  while IFS= read -r -d '' path; do [ ! -e "$path" ] || printf '%s\0' "$path"; done |
  tar --null --files-from=- -cf - | tar -xf - -C "$tree"
git -C "$tree" init --quiet
# Without the program, the shellcheck test passes with no more than a warning.
ln -sfn "$ROOT/.venv-dev/bin/shellcheck" "$work/bin/shellcheck"

python=$(.venv-test/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
cd "$tree" || die "cannot enter $tree"
env -u ANSIBLE_CONFIG -u ANSIBLE_COLLECTIONS_PATH -u PYTHONPATH \
  HOME="$work/home" LC_ALL=C.UTF-8 PATH="$ROOT/.venv-test/bin:$work/bin:$PATH" \
  "$ROOT/.venv-test/bin/ansible-test" "$command" --local --python "$python" --color no "$@"
