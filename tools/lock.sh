#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Write the lock files requirements/*.txt anew from requirements/*.in: tools/lock.sh [--upgrade]
. "$(dirname "$0")/lib.sh"
tools/bootstrap.sh runtime
for name in uv runtime test dev; do
  # For every Python from 3.11 on. The index is the one of whoever runs this and is not written down.
  .venv-uv/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header \
    --no-emit-index-url --no-emit-find-links --annotation-style=line "$@" \
    --output-file "requirements/$name.txt" "requirements/$name.in"
done
