# shellcheck shell=bash
# From an environment in .venv to everything a gateway needs. Needs ROOT, VENV, say.sh, apt.sh.

# preflight start|test: returns when settings, port (for a start), engine and image are as they must
# be, having set up what was missing; else ends the script. One short Python process when nothing is
# missing.
preflight() {
  local purpose=$1 status=0
  _check "$purpose" || status=$?
  if ((status == 10 || status == 11)); then
    # shellcheck source=scripts/lib/engine.sh
    . "$ROOT/scripts/lib/engine.sh"
    ensure_engine
    status=0
    _check "$purpose" || status=$?
  fi
  if ((status == 12)); then
    _make_missing_image
    status=0
    _check "$purpose" || status=$?
  fi
  if ((status == 13)); then
    _make_missing_templates
    status=0
    _check "$purpose" || status=$?
  fi
  case $status in
    0) ;;
    10 | 11) fail "The Docker Engine stopped answering." ;;
    12 | 13) fail "The image was built, and the engine does not have it." ;;
    # It has said what is wrong.
    *) exit "$status" ;;
  esac
}

# _check start|test: says what is wrong with settings or port and returns 2, else what is missing:
# the statuses are those of preflight.py and engine_api.py. Sets DOCKER_HOST if need be.
_check() {
  local address status=0
  address=$("$VENV/bin/python" "$ROOT/scripts/lib/preflight.py" "$1") || status=$?
  if [[ -n $address && $address != unix:///var/run/docker.sock ]]; then
    export DOCKER_HOST=$address
  fi
  return "$status"
}

_make_missing_image() {
  # shellcheck source=scripts/lib/image.sh
  . "$ROOT/scripts/lib/image.sh"
  local image=${SANDBOX_IMAGE:-$DEFAULT_IMAGE}
  # Another name is the operator's choice of another image: ours must not appear under it.
  if [[ $image != "$DEFAULT_IMAGE" && $image != "$DEFAULT_IMAGE":* ]]; then
    fail "The engine has no image '$image' (SANDBOX_IMAGE)." \
      "Fetch it:  docker pull $image" \
      "or give the gateway's own image that name:  scripts/build_image.sh --tag $image"
  fi
  say "the image $image is missing: building it (once, takes a minute or two)"
  build_image "$DEFAULT_BASE" "$image"
}

# Each of SANDBOX_TEMPLATES whose image the engine does not have.
_make_missing_templates() {
  # shellcheck source=scripts/lib/engine.sh
  . "$ROOT/scripts/lib/engine.sh"
  # shellcheck source=scripts/lib/image.sh
  . "$ROOT/scripts/lib/image.sh"
  local template
  for template in ${SANDBOX_TEMPLATES//,/ }; do
    if "$VENV/bin/python" "$ROOT/scripts/lib/image.py" has "sandbox-$template"; then continue; fi
    say "the image sandbox-$template is missing: building it (once, takes some minutes)"
    build_image "$DEFAULT_BASE" "sandbox-$template" "" "$template"
  done
}
