# shellcheck shell=bash
# The project's Python environment: .venv in the clone. Needs ROOT, say.sh and apt.sh.

VENV=$ROOT/.venv
OLDEST_PYTHON=3.10

# ensure_venv runtime|dev: makes or updates .venv so that it holds what requirements.txt (and, for
# dev, requirements-dev.txt) ask for. Starts no Python when nothing is to be done.
ensure_venv() {
  local kind=$1
  if ! _venv_is_current "$kind"; then
    mkdir -p "$ROOT/.run"
    # Two scripts at once on a fresh clone: the second waits and finds the work done. pip inherits
    # the lock, so that one whose script was killed is waited for as well.
    exec {lock}>"$ROOT/.run/venv.lock"
    if command -v flock >/dev/null && ! flock --nonblock "$lock"; then
      say "another script is at work on .venv: waiting for it"
      flock "$lock"
    fi
    if ! _venv_is_current "$kind"; then _make_venv "$kind"; fi
    exec {lock}>&-
  fi
}

_venv_is_current() {
  local stamp=$VENV/.stamp-$1
  [[ -x $VENV/bin/python && -f $stamp && $(<"$stamp") == "$(_stamp "$1")" ]]
}

# What the environment was made from. The path of the clone is part of it because scripts in a
# venv carry it; the interpreter's real path changes with its minor version.
_stamp() {
  local files=("$ROOT/requirements.txt")
  if [[ $1 == dev ]]; then files+=("$ROOT/requirements-dev.txt"); fi
  echo "$ROOT $(readlink -f "$VENV/bin/python") $(cat "${files[@]}" | sha256sum)"
}

_make_venv() {
  local kind=$1 requirements=$ROOT/requirements.txt
  if [[ $kind == dev ]]; then requirements=$ROOT/requirements-dev.txt; fi

  # No stamp while pip is at work: whatever interrupts it, the next start does it again.
  rm -f "$VENV"/.stamp-*
  if [[ ! -f $VENV/.made || $(<"$VENV/.made") != "$(_origin)" ]] || ! "$VENV/bin/python" -c ''; then
    _find_python
    rm -rf "$VENV"
    with_progress "making the Python environment .venv with $PYTHON_FOUND" \
      "$PYTHON_FOUND" -m venv "$VENV" || fail "Python could not make its environment in .venv."
    _origin >"$VENV/.made"
  fi
  with_progress "installing the Python packages of ${requirements##*/}" \
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --prefer-binary \
    --requirement "$requirements" || fail "pip could not install what the gateway needs."

  _stamp runtime >"$VENV/.stamp-runtime"
  if [[ $kind == dev ]]; then _stamp dev >"$VENV/.stamp-dev"; fi
}

_origin() {
  echo "$ROOT $(readlink -f "$VENV/bin/python" || true)"
}

# Sets PYTHON_FOUND to an interpreter that is new enough and can make environments.
_find_python() {
  PYTHON_FOUND=$(_new_enough_python) || true
  if [[ -z $PYTHON_FOUND ]] && may_install; then
    apt_install python3 python3-venv || true
    PYTHON_FOUND=$(_new_enough_python) || true
  fi
  if [[ -z $PYTHON_FOUND ]]; then
    fail "The gateway needs Python $OLDEST_PYTHON or newer; found: $(_python_versions)." \
      "Install one (on Debian and Ubuntu, as root: apt-get install python3 python3-venv)," \
      "or name it: PYTHON=/path/to/python3 $0" \
      "(not installed by itself: $(why_not_install))"
  fi
  if "$PYTHON_FOUND" -c 'import ensurepip, venv' 2>/dev/null; then return; fi

  # Debian keeps what makes environments in a package of its own.
  local package
  package=$(basename "$(readlink -f "$PYTHON_FOUND")")-venv
  if may_install; then apt_install "$package" || true; fi
  if ! "$PYTHON_FOUND" -c 'import ensurepip, venv' 2>/dev/null; then
    fail "$PYTHON_FOUND cannot make environments (no ensurepip)." \
      "Install it as root: apt-get install $package" \
      "(not done by itself: $(why_not_install))"
  fi
}

_new_enough_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.{13,12,11,10,14} /usr/bin/python3; do
    if "$candidate" -c "import sys; sys.exit(sys.version_info < (${OLDEST_PYTHON/./, }))" 2>/dev/null
    then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

_python_versions() {
  local version
  version=$(python3 --version 2>/dev/null) || version="none"
  echo "$version"
}
