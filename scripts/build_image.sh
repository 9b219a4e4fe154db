#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/build_image.sh [--base IMAGE] [--tag NAME] [--fresh] [--no-install]

Builds the image that sandboxes are made from, out of scripts/image.

  --base IMAGE   what it is built on (default: debian:bookworm). Where no registry gives
                 that default, the base is made here from this machine's package sources.
  --tag NAME     its name (default: SANDBOX_IMAGE, else sandbox-websocket-image)
  --fresh        reuse nothing from earlier builds: the newest packages
  --no-install   do not install Debian packages that are missing on this machine
TEXT
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRIPT_NAME=build_image
# shellcheck source=scripts/lib/say.sh
. "$ROOT/scripts/lib/say.sh"
# shellcheck source=scripts/lib/apt.sh
. "$ROOT/scripts/lib/apt.sh"
# shellcheck source=scripts/lib/venv.sh
. "$ROOT/scripts/lib/venv.sh"
# shellcheck source=scripts/lib/engine.sh
. "$ROOT/scripts/lib/engine.sh"
# shellcheck source=scripts/lib/image.sh
. "$ROOT/scripts/lib/image.sh"

base=$DEFAULT_BASE
tag=${SANDBOX_IMAGE:-$DEFAULT_IMAGE}
fresh=

while (($#)); do
  case $1 in
    --base | --tag)
      if (($# < 2)) || [[ -z $2 ]]; then
        echo "build_image: $1 needs the name of an image" >&2
        exit 2
      fi
      if [[ $1 == --base ]]; then base=$2; else tag=$2; fi
      shift
      ;;
    --fresh) fresh=--fresh ;;
    --no-install) NO_INSTALL=1 ;;
    -h | --help)
      usage
      exit
      ;;
    *)
      echo "build_image: unknown argument '$1' (see --help)" >&2
      exit 2
      ;;
  esac
  shift
done

ensure_venv runtime
ensure_engine
build_image "$base" "$tag" "$fresh"
