#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/test.sh [--fast] [--no-install] [PYTEST-ARGUMENT…]

Sets up what the tests need, as start.sh does, then runs every check in turn and stops at the
first that fails: ruff, mypy, lint-imports, the tables of docs/, pytest.

  --fast         only tests that need neither a Docker Engine nor PostgreSQL, and no set-up of them,
                 and none that takes seconds of processor time: for use while writing
  --no-install   do not install Debian packages; say what is missing instead

What follows goes to pytest: scripts/test.sh tests/unit -k frames

Several processes take the test files in turn, for most tests wait; -n 0 at the end: one does all,
as a debugger needs it. What fails beside others is tried once more, alone: on a machine that is busy
with the tests themselves a bound in seconds can be missed. What fails twice has failed, and both
failures are shown. What passes then is a finding all the same: it is named at the end and in
.run/second-tries.txt, and more than twelve of them fail the run.
TEXT
}

# Two cores are fully used by three already; with a fourth, tests that bound time miss their bounds.
PROCESSES=3

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRIPT_NAME="test"
# shellcheck source=scripts/lib/say.sh
. "$ROOT/scripts/lib/say.sh"
# shellcheck source=scripts/lib/apt.sh
. "$ROOT/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/venv.sh
. "$ROOT/scripts/lib/venv.sh"
# shellcheck source=scripts/lib/preflight.sh
. "$ROOT/scripts/lib/preflight.sh"
# shellcheck source=scripts/lib/tried_twice.sh
. "$ROOT/scripts/lib/tried_twice.sh"
# shellcheck source=scripts/lib/postgres.sh
. "$ROOT/scripts/lib/postgres.sh"
# shellcheck source=scripts/lib/chromium.sh
. "$ROOT/scripts/lib/chromium.sh"
# shellcheck source=scripts/lib/client_environments.sh
. "$ROOT/scripts/lib/client_environments.sh"
# shellcheck source=scripts/lib/fast_disk.sh
. "$ROOT/scripts/lib/fast_disk.sh"

fast=
while (($#)); do
  case $1 in
    --fast) fast=1 ;;
    --no-install) NO_INSTALL=1 ;;
    -h | --help)
      usage
      exit
      ;;
    *) break ;;
  esac
  shift
done

# stage NAME COMMAND…: ends the script with the command's status when it fails.
stage() {
  local name=$1 started=$SECONDS status=0
  shift
  say "$name"
  "$@" || status=$?
  if ((status != 0)); then
    say "$name: failed after $((SECONDS - started)) s (status $status)" >&2
    exit "$status"
  fi
  say "$name: passed in $((SECONDS - started)) s"
}

# What an operator has configured on this machine must not change what the tests see.
for variable in "${!SANDBOX_@}"; do
  if [[ $variable != SANDBOX_IMAGE ]]; then unset "$variable"; fi
done

cd "$ROOT"
ensure_venv dev
if [[ -z $fast ]]; then
  SANDBOX_TEMPLATES=code-interpreter preflight test
  ensure_postgres
  ensure_chromium
  ensure_mcp_clients
  ensure_xfsprogs
  ensure_sdks
  stage "leftovers of aborted runs" "$VENV/bin/python" scripts/lib/sweep.py
fi

# With it each of the processes would compile all tests anew.
unset PYTHONDONTWRITEBYTECODE
if [[ -z $(compgen -G "tests/__pycache__/conftest.*-pytest-*.pyc" || true) ]]; then
  # And in a fresh clone all of them at the same time: once, beside the stages that use one core.
  "$VENV/bin/python" -m pytest --collect-only -qq --numprocesses 0 >/dev/null 2>&1 &
  compiling=$!
fi

stage "ruff check" "$VENV/bin/ruff" check
stage "ruff format" "$VENV/bin/ruff" format --check
stage "mypy" "$VENV/bin/mypy"
stage "lint-imports" "$VENV/bin/lint-imports" --no-logo
stage "docs" scripts/docs --check

if [[ -n ${compiling:-} ]]; then wait "$compiling" || true; fi
say "pytest"
if [[ -n $fast ]]; then
  set -- -m "not engine and not postgresql and not long" "$@"
  # Every test beside tests/unit needs the engine, and to import them all takes two seconds in each
  # of the processes.
  for folder in tests/*/; do
    case $folder in tests/support/ | tests/unit/) ;; *) set -- --ignore "${folder%/}" "$@" ;; esac
  done
fi
tried_twice "$PROCESSES" "$@"
