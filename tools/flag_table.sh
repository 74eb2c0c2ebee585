#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Write the option table of a version of the engine or a router from its real argument parser:
#
#   tools/flag_table.sh sglang==0.5.23        (or sglang-router==0.3.2, smg==1.13.0)
#   tools/flag_table.sh sglang==0.5.23 DIR    leaves the environment with that parser in DIR, for tests/unit/test_real_parsers.py
#   tools/flag_table.sh --environment sglang==0.5.23 DIR    makes that environment, unless it is there, and writes no table
#
# The environment holds what the import of the parser asks for and nothing that runs a model. The engine's needs a torch, and one
# without CUDA does: pip finds it through its own configuration, or in the index that RAILYARD_TORCH_INDEX names.
. "$(dirname "$0")/lib.sh"

TORCH=torch==2.13.0+cpu
# Of the engine's own requirements those that its parser imports, in all versions that have a table.
IMPORTED=(
  aiohttp dill huggingface_hub ipython msgspec numpy openai orjson packaging partial-json-parser pillow psutil pybase64 pydantic
  pyyaml pyzmq requests safetensors sentencepiece starlette torchvision tqdm transformers triton
)

only=
if [ "${1:-}" = --environment ]; then
  only=yes
  shift
  [ $# -eq 2 ] || die "usage: tools/flag_table.sh --environment NAME==VERSION DIR"
  [ ! -e "$2/.whole" ] || exit 0
fi
[ $# -ge 1 ] && [ $# -le 2 ] || die "usage: tools/flag_table.sh NAME==VERSION [DIR]"
name=${1%%==*}
version=${1#*==}
case $name in
  sglang | sglang-router | smg) ;;
  *) die "$1: not sglang==VERSION, sglang-router==VERSION or smg==VERSION" ;;
esac
[ "$1" = "$name==$version" ] && [ -n "$version" ] || die "$1: name one version, NAME==VERSION"

tools/bootstrap.sh runtime
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
environment=${2:-$work/environment}
python=$environment/bin/python
uv=.venv-uv/bin/uv

"$uv" venv --quiet --allow-existing --python .venv-uv/bin/python "$environment"
if [ "$name" = sglang ]; then
  .venv-uv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" \
    ${RAILYARD_TORCH_INDEX:+--extra-index-url "$RAILYARD_TORCH_INDEX"} "$TORCH"
  "$uv" pip install --quiet --python "$python" --no-deps "$1"
  # The versions that it asks for itself, except those that go with a CUDA torch.
  "$python" - >"$work/constraints" <<'END'
import importlib.metadata

for line in importlib.metadata.requires("sglang"):
    if "extra ==" not in line and "[" not in line and not line.startswith("torch"):
        print(line)
END
  "$uv" pip install --quiet --python "$python" --find-links "$work" --constraints "$work/constraints" "$TORCH" "${IMPORTED[@]}"
else
  "$uv" pip install --quiet --python "$python" "$1"
fi

table=plugins/module_utils/launch/data/$name-$version.json
"$python" tools/flag_table.py "$name" >"$work/table" 2>"$work/log" ||
  die "no table of $1; a module that is missing belongs into IMPORTED in $0
$(tail -5 "$work/log")"
if [ -n "$only" ]; then
  touch "$environment/.whole"
  exit 0
fi
cp "$work/table" "$table"
say "$table: $(grep -c '^  "' "$table") options"
