#!/usr/bin/env bash
# Compile the .in files into hashed lock files that hold for Python 3.11 to 3.13 on every platform.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { .venv/bin/uv pip compile --quiet --no-header --no-emit-index-url --no-emit-find-links --generate-hashes "$@"; }
compile --universal --python-version 3.11 requirements.in -o requirements.txt
compile --universal --python-version 3.11 requirements-dev.in -c requirements.txt -o requirements-dev.txt
compile --python-platform x86_64-manylinux_2_28 --python-version 3.13 lambda/requirements.in -o lambda/requirements.txt
PATH="$PWD/.venv/bin:$PATH" npm install --package-lock-only --omit-lockfile-registry-resolved --no-fund --no-audit --loglevel=error
