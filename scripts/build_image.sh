#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/build_image.sh [--template NAME] [--base IMAGE] [--tag NAME] [--fresh] [--no-install]

Builds the image that sandboxes are made from, out of scripts/image.

  --template NAME
                 the image of a template instead: code-interpreter
  --base IMAGE   what it is built on (default: debian:bookworm). Where no registry gives
                 that default, the base is made here from this machine's package sources.
  --tag NAME     its name (default: SANDBOX_IMAGE, else sandbox-websocket-image; of
                 code-interpreter, sandbox-code-interpreter)
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
tag= template= fresh=

while (($#)); do
  case $1 in
    --base | --tag | --template)
      if (($# < 2)) || [[ -z $2 ]]; then
        echo "build_image: $1 needs a name" >&2
        exit 2
      fi
      case $1 in
        --base) base=$2 ;;
        --tag) tag=$2 ;;
        *) template=$2 ;;
      esac
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

if [[ -n $template && ! -f $ROOT/scripts/image/$template/packages.txt ]]; then
  echo "build_image: there is no template '$template'" >&2
  exit 2
fi

ensure_venv runtime
ensure_engine
usual=${SANDBOX_IMAGE:-$DEFAULT_IMAGE}
if [[ -n $template ]]; then usual=sandbox-$template; fi
build_image "$base" "${tag:-$usual}" "$fresh" "$template"
