# shellcheck shell=bash
# How the scripts speak: one line per step, a sign of life while something takes long.

# say TEXT…: one line about what is being done.
say() {
  printf '[%s] %s\n' "${SCRIPT_NAME:-set-up}" "$*"
}

# fail TEXT…: each argument is a line on standard error; ends the script with status 1.
fail() {
  printf '[%s] %s\n' "${SCRIPT_NAME:-set-up}" "$1" >&2
  shift
  if (($#)); then printf '    %s\n' "$@" >&2; fi
  exit 1
}

# with_progress TEXT COMMAND…: runs COMMAND with its output in a log file; says TEXT, every few
# seconds how far it is (the log's last line) and, should it fail, the end of the log.
# Returns COMMAND's status.
with_progress() {
  local text=$1 log started=$SECONDS ticker status=0
  shift
  log=$(mktemp "${TMPDIR:-/tmp}/sandbox-gateway-setup.XXXXXX")
  say "$text …"
  _tick "$text" "$log" &
  ticker=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  if ((status == 0)); then
    say "$text: done in $((SECONDS - started)) s"
  else
    say "$text: failed after $((SECONDS - started)) s (status $status)" >&2
    tail -n 15 "$log" | sed 's/^/    /' >&2
  fi
  rm -f "$log"
  return "$status"
}

# Runs beside the command; ends by itself when the script is gone, because Ctrl-C does not reach
# what a script has put into the background.
_tick() {
  local text=$1 log=$2 waited=0
  while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    waited=$((waited + 1))
    if ((waited % 4 == 0)); then
      say "$text: ${waited} s ($(tail -c 400 "$log" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c 1-90))"
    fi
  done
}
