#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: ./start.sh [PORT] [--no-install] | --stop-all

Starts the Sandbox Gateway in the foreground. What it needs is set up first, where it is missing:
a Python environment in .venv, a Docker Engine that answers, the image for sandboxes.

  PORT           TCP port to listen on (default: SANDBOX_PORT, else 8003)
  --no-install   do not install Debian packages; say what is missing instead
  --stop-all     end the gateway of this data directory, if it runs, and remove all its sandboxes

Every SANDBOX_* variable is a setting; docs/settings.md lists them.
TEXT
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SCRIPT_NAME=start
# shellcheck source=scripts/lib/say.sh
. "$ROOT/scripts/lib/say.sh"
# shellcheck source=scripts/lib/apt.sh
. "$ROOT/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/venv.sh
. "$ROOT/scripts/lib/venv.sh"
# shellcheck source=scripts/lib/preflight.sh
. "$ROOT/scripts/lib/preflight.sh"

stop_all=
for argument in "$@"; do
  case $argument in
    --stop-all) stop_all=1 ;;
    --no-install) NO_INSTALL=1 ;;
    -h | --help)
      usage
      exit
      ;;
    -*)
      echo "start: unknown option '$argument' (see --help)" >&2
      exit 2
      ;;
    *)
      if [[ ! $argument =~ ^0*[1-9][0-9]{0,4}$ ]] || ((10#$argument > 65535)); then
        echo "start: the port must be a whole number from 1 to 65535, not '$argument'" >&2
        exit 2
      fi
      export SANDBOX_PORT=$((10#$argument))
      ;;
  esac
done

ensure_venv runtime
if [[ -n $stop_all ]]; then
  # shellcheck source=scripts/lib/engine.sh
  . "$ROOT/scripts/lib/engine.sh"
  cd "$ROOT"
  adopt_engine_address
  exec env PYTHONPATH="$ROOT" "$VENV/bin/python" "$ROOT/scripts/lib/stop_all.py"
fi
preflight start
cd "$ROOT"
exec "$VENV/bin/gunicorn" --config python:gateway.server.gunicorn_config wsgi:app
