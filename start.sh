#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: ./start.sh [PORT] [--no-install] [--fast-disk SIZE] | --stop-all | --remove-fast-disk

Starts the Sandbox Gateway in the foreground. What it needs is set up first, where it is missing:
a Python environment in .venv, a Docker Engine that answers, the image for sandboxes.

  PORT           TCP port to listen on (default: SANDBOX_PORT, else 8003)
  --no-install   do not install Debian packages; say what is missing instead
  --fast-disk SIZE
                 keep sandboxes' disks and snapshots on a file of this size (such as 50G) with a file
                 system that shares blocks, where a snapshot takes as long whatever the size; made
                 once, and used at every start from then on
  --stop-all     end the gateway of this data directory, if it runs, and remove all its sandboxes
  --remove-fast-disk
                 give that file up, with all snapshots on it

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

# shellcheck source=scripts/lib/fast_disk.sh
. "$ROOT/scripts/lib/fast_disk.sh"

stop_all= fast_disk_size=
while (($#)); do
  argument=$1
  shift
  case $argument in
    --stop-all) stop_all=1 ;;
    --fast-disk)
      fast_disk_size=${1:-}
      fast_disk_check "$fast_disk_size"
      shift
      ;;
    --remove-fast-disk)
      fast_disk_remove
      exit
      ;;
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
fast_disk_use "$fast_disk_size"
preflight start
cd "$ROOT"
exec "$VENV/bin/gunicorn" --config python:gateway.server.gunicorn_config wsgi:app
