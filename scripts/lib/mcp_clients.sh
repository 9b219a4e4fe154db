# shellcheck shell=bash
# Clients of the Model Context Protocol, as their users have them: tests run programs with them. Each
# has an environment of its own below .run/mcp-clients, with what a file in tests/mcp/clients pins.
# Needs ROOT, say.sh, apt.sh and venv.sh.

MCP_CLIENTS=$ROOT/.run/mcp-clients

# ensure_mcp_clients: returns when they are there, or when one cannot be had (having said so): then
# the tests that need it fail.
ensure_mcp_clients() {
  local pins
  mkdir -p "$MCP_CLIENTS"
  exec {mcp_clients_lock}>"$MCP_CLIENTS/.lock"
  flock "$mcp_clients_lock"
  for pins in "$ROOT"/tests/mcp/clients/*.txt; do
    _ensure_python_mcp_client "$(basename "$pins" .txt)" "$pins"
  done
  _ensure_npm_mcp_clients "$ROOT/tests/mcp/clients/npm"
  exec {mcp_clients_lock}>&-
}

# _ensure_python_mcp_client NAME PINS
_ensure_python_mcp_client() {
  local place=$MCP_CLIENTS/$1 stamp
  stamp=$(sha256sum <"$2")
  if [[ -f $place/.stamp && $(<"$place/.stamp") == "$stamp" ]]; then return; fi
  rm -rf "$place"
  if "$VENV/bin/python" -m venv "$place" &&
    with_progress "installing a client of MCP ($1)" "$place/bin/python" -m pip install \
      --disable-pip-version-check --no-input --prefer-binary --requirement "$2"; then
    echo "$stamp" >"$place/.stamp"
  else
    say "the client of MCP ($1) cannot be installed: tests that use it fail"
  fi
}

# _ensure_npm_mcp_clients FOLDER, with a package.json and a package-lock.json
_ensure_npm_mcp_clients() {
  local place=$MCP_CLIENTS/npm stamp
  stamp=$(cat "$1"/package*.json | sha256sum)
  if [[ -f $place/.stamp && $(<"$place/.stamp") == "$stamp" ]]; then return; fi
  if ! command -v npm >/dev/null && may_install; then apt_install nodejs npm || true; fi
  rm -rf "$place"
  mkdir -p "$place"
  cp "$1"/package*.json "$place"
  if command -v npm >/dev/null &&
    with_progress "installing clients of MCP for JavaScript" \
      npm ci --prefix "$place" --no-audit --no-fund --ignore-scripts; then
    echo "$stamp" >"$place/.stamp"
  else
    say "clients of MCP for JavaScript cannot be installed: tests that use them fail"
  fi
}
