#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Make the local environments from the lock files: tools/bootstrap.sh [runtime] [test] [dev]   (default: runtime)
# Nothing is installed outside this checkout. A second run finds everything in place and returns at once.
. "$(dirname "$0")/lib.sh"

venv_dir() { # environment name -> folder
  case $1 in
    runtime) echo .venv ;;
    *) echo ".venv-$1" ;;
  esac
}

# What an environment was made from. It holds the checkout's path too: a virtual environment does not survive a move.
stamp_of() {
  local sum
  sum=$(sha256sum "requirements/$1.txt")
  printf '%s %s\n' "${sum%% *}" "$ROOT"
}

is_current() {
  local dir
  dir=$(venv_dir "$1")
  [ -x "$dir/bin/python" ] && [ -f "$dir/.stamp" ] && [ "$(<"$dir/.stamp")" = "$(stamp_of "$1")" ]
}

make_link() {
  local link=.tree/ansible_collections/railyard/sglang
  [ "$(readlink "$link" || true)" = ../../.. ] && return
  mkdir -p "${link%/*}"
  ln -sfn ../../.. "$link"
}

make_uv() {
  local python
  python=$(find_python) || die "no Python 3.11 to 3.13 with the venv module found. Run tools/os_packages.sh, or set RAILYARD_PYTHON."
  rm -rf .venv-uv
  "$python" -m venv .venv-uv
  .venv-uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt
  stamp_of uv >.venv-uv/.stamp
}

make_env() {
  local dir python
  dir=$(venv_dir "$1")
  python=$(find_python) || die "no Python 3.11 to 3.13 with the venv module found. Run tools/os_packages.sh, or set RAILYARD_PYTHON."
  say "setting up $dir from requirements/$1.txt"
  # A lock that changed is synchronised in place; anything else (moved checkout, vanished Python, a run cut short) starts anew.
  if [ "$(cut -d' ' -f2- "$dir/.stamp" 2>/dev/null || true)" != "$ROOT" ] || ! "$dir/bin/python" -c '' 2>/dev/null; then
    .venv-uv/bin/uv venv --quiet --clear --python "$python" "$dir"
  fi
  rm -f "$dir/.stamp"
  .venv-uv/bin/uv pip sync --quiet --require-hashes --python "$dir/bin/python" "requirements/$1.txt"
  stamp_of "$1" >"$dir/.stamp"
}

[ $# -gt 0 ] || set -- runtime
for name in "$@"; do
  [ -f "requirements/$name.txt" ] || die "no such environment: $name (there are: runtime, test, dev)"
done

make_link
missing=()
for name in uv "$@"; do
  is_current "$name" || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0

# Two runs at the same time: the second waits, then finds everything done.
exec 9>.tree/.lock
flock 9
is_current uv || make_uv
for name in "$@"; do
  is_current "$name" || make_env "$name"
done
