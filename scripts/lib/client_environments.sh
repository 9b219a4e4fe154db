# shellcheck shell=bash
# Clients of other people's protocols, as their users have them: tests run programs with them. Each has
# an environment of its own below .run, with what a file pins. Needs ROOT, say.sh, apt.sh and venv.sh.

# ensure_sdks, ensure_mcp_clients: return when they are there, or when one cannot be had (having said
# so): then the tests that need it fail.
ensure_sdks() { _ensure_environments sdks "$ROOT/tests/sdks" "E2B's SDK"; }
ensure_mcp_clients() {
  _ensure_environments mcp-clients "$ROOT/tests/mcp/clients" "the client of MCP"
}

# _ensure_environments NAME PINS WHAT: those of WHAT, below .run/NAME. PINS has a file for each of
# Python's, and a folder npm.
_ensure_environments() {
  local places=$ROOT/.run/$1 pins lock
  mkdir -p "$places"
  exec {lock}>"$places/.lock"
  flock "$lock"
  for pins in "$2"/*.txt; do _ensure_python "$places/$(basename "$pins" .txt)" "$pins" "$3"; done
  _ensure_npm "$places/npm" "$2/npm" "$3"
  exec {lock}>&-
}

# _ensure_python PLACE PINS WHAT
_ensure_python() {
  local place=$1 what="$3 ($(basename "$1"))" stamp
  stamp=$(sha256sum <"$2")
  if [[ -f $place/.stamp && $(<"$place/.stamp") == "$stamp" ]]; then return; fi
  rm -rf "$place"
  if "$VENV/bin/python" -m venv "$place" &&
    with_progress "installing $what" "$place/bin/python" -m pip install \
      --disable-pip-version-check --no-input --prefer-binary --requirement "$2"; then
    echo "$stamp" >"$place/.stamp"
  else
    say "$what cannot be installed: tests that use it fail"
  fi
}

# _ensure_npm PLACE FOLDER WHAT: FOLDER has a package.json and a package-lock.json.
_ensure_npm() {
  local place=$1 what="$3 (npm)" stamp
  stamp=$(cat "$2"/package*.json | sha256sum)
  if [[ -f $place/.stamp && $(<"$place/.stamp") == "$stamp" ]]; then return; fi
  if ! command -v npm >/dev/null && may_install; then apt_install nodejs npm || true; fi
  rm -rf "$place"
  mkdir -p "$place"
  cp "$2"/package*.json "$place"
  if command -v npm >/dev/null &&
    with_progress "installing $what" \
      npm ci --prefix "$place" --no-audit --no-fund --ignore-scripts; then
    echo "$stamp" >"$place/.stamp"
  else
    say "$what cannot be installed: tests that use it fail"
  fi
}
