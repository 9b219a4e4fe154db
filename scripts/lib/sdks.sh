# shellcheck shell=bash
# E2B's SDKs, as their users have them: tests run programs with them. Each has an environment of its
# own below .run/sdks, with what a file in tests/sdks pins. Needs ROOT, say.sh, apt.sh and venv.sh.

SDKS=$ROOT/.run/sdks

# ensure_sdks: returns when they are there, or when one cannot be had (having said so): then the
# tests that need it fail.
ensure_sdks() {
  local pins
  mkdir -p "$SDKS"
  exec {sdks_lock}>"$SDKS/.lock"
  flock "$sdks_lock"
  for pins in "$ROOT"/tests/sdks/*.txt; do _ensure_python_sdk "$(basename "$pins" .txt)" "$pins"; done
  _ensure_npm_sdk "$ROOT/tests/sdks/npm"
  exec {sdks_lock}>&-
}

# _ensure_python_sdk NAME PINS
_ensure_python_sdk() {
  local place=$SDKS/$1 stamp
  stamp=$(sha256sum <"$2")
  if [[ -f $place/.stamp && $(<"$place/.stamp") == "$stamp" ]]; then return; fi
  rm -rf "$place"
  if "$VENV/bin/python" -m venv "$place" &&
    with_progress "installing E2B's SDK for Python ($1)" "$place/bin/python" -m pip install \
      --disable-pip-version-check --no-input --prefer-binary --requirement "$2"; then
    echo "$stamp" >"$place/.stamp"
  else
    say "E2B's SDK for Python ($1) cannot be installed: tests that use it fail"
  fi
}

# _ensure_npm_sdk FOLDER, with a package.json and a package-lock.json
_ensure_npm_sdk() {
  local place=$SDKS/npm stamp
  stamp=$(cat "$1"/package*.json | sha256sum)
  if [[ -f $place/.stamp && $(<"$place/.stamp") == "$stamp" ]]; then return; fi
  if ! command -v npm >/dev/null && may_install; then apt_install nodejs npm || true; fi
  rm -rf "$place"
  mkdir -p "$place"
  cp "$1"/package*.json "$place"
  if command -v npm >/dev/null &&
    with_progress "installing E2B's SDKs for JavaScript" \
      npm ci --prefix "$place" --no-audit --no-fund --ignore-scripts; then
    echo "$stamp" >"$place/.stamp"
  else
    say "E2B's SDKs for JavaScript cannot be installed: tests that use them fail"
  fi
}
