#!/usr/bin/env bash
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: scripts/setup_gvisor.sh [OPTION…]

Gives the Docker Engine the runtime `runsc` (gVisor), which the isolation level `gvisor` needs:
installs Debian's package where there is none, finds out which arguments work on this machine, adds
the runtime to the engine's configuration without touching the rest of it, and tells the engine to
read it again. Running containers are not disturbed. Needs root.

  --config FILE    the engine's configuration (default: /etc/docker/daemon.json)
  --pid PID|FILE   the engine's process, or its pid file (default: /var/run/docker.pid)
  --host ADDRESS   where the engine answers (default: DOCKER_HOST, else the engine's own socket)
  --print          only say the arguments that work, one a line
  --no-install     do not install Debian packages; say what is missing instead
TEXT
}

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SCRIPT_NAME=gvisor
# shellcheck source=scripts/lib/say.sh
. "$ROOT/scripts/lib/say.sh"
# shellcheck source=scripts/lib/apt.sh
. "$ROOT/scripts/lib/apt.sh"

config=/etc/docker/daemon.json
process=
only_print=
while (($#)); do
  case $1 in
    --config | --pid | --host)
      if (($# < 2)); then
        echo "setup_gvisor: $1 needs a value" >&2
        exit 2
      fi
      case $1 in
        --config) config=$2 ;;
        --pid) process=$2 ;;
        --host) export DOCKER_HOST=$2 ;;
      esac
      shift
      ;;
    --print) only_print=1 ;;
    --no-install) NO_INSTALL=1 ;;
    -h | --help)
      usage
      exit
      ;;
    *)
      echo "setup_gvisor: unknown option '$1' (see --help)" >&2
      exit 2
      ;;
  esac
  shift
done

if ! runsc=$(command -v runsc); then
  if ! may_install; then
    fail "gVisor's runsc is not installed, and was not by itself: $(why_not_install)." \
      "On Debian and Ubuntu, as root:  apt-get install runsc" \
      "Elsewhere:  https://gvisor.dev/docs/user_guide/install/"
  fi
  apt_install runsc >&2
  runsc=$(command -v runsc)
fi
if ((EUID != 0)); then fail "This needs root: sudo $0"; fi

# try ARGUMENT…: whether a program runs in a sandbox with these arguments. On some machines one
# with another platform hangs for ever (kvm in a virtual machine), and its processes with it.
try() {
  local state status=0 reason
  state=$(mktemp -d)
  reason=$(setsid timeout --signal=KILL 15 "$runsc" --root "$state" "$@" do true 2>&1) || status=$?
  _kill_by_root "$state"
  rm -rf "$state"
  if ((status == 0)); then return; fi
  reason=$(tail -n 1 <<<"$reason" | cut -c 1-160)
  say "does not work: $* (${reason:-no answer in 15 s})" >&2
  return 1
}

# The sandbox's own processes have left the group of the one that started them, but all carry the
# directory of this try, which nobody else knows, in their arguments.
_kill_by_root() {
  local pids
  pids=$(pgrep -f -- "$1" || true)
  if [[ -n $pids ]]; then
    # Unquoted: one argument per process. Some end meanwhile.
    kill -KILL $pids 2>/dev/null || true
  fi
}

# From the best to the least. systrap is the fast platform of newer versions and their default;
# without a network of its own the sandbox has none at all. `--network=host` is not tried: it hands
# the sandbox's system calls for sockets to the host's kernel.
# Newer versions write into an overlay of their own, where neither the limit of a disk nor a snapshot
# finds it, unless they are told not to; older ones have no such overlay, and do not know the word.
overlay=()
if [[ $("$runsc" flags 2>&1 || true) == *"-overlay2 "* ]]; then overlay=(--overlay2=none); fi
arguments=()
found=
for network in sandbox none; do
  for platform in default systrap ptrace; do
    arguments=("--network=$network" ${overlay[@]+"${overlay[@]}"})
    if [[ $platform != default ]]; then arguments+=("--platform=$platform"); fi
    if try "${arguments[@]}"; then
      found=1
      break 2
    fi
  done
done
if [[ -z $found ]]; then fail "gVisor runs on this machine with no arguments that are known here."; fi
if [[ -n $only_print ]]; then
  printf '%s\n' "${arguments[@]}"
  exit
fi
say "works: ${arguments[*]}"
if [[ ${arguments[0]} == --network=none ]]; then
  say "so sandboxes of the level gvisor have no network on this machine"
fi

case $(python3 -S -E "$ROOT/scripts/lib/engine_runtime.py" "$config" runsc "$runsc" "${arguments[@]}") in
  unchanged) say "$config has it already" ;;
  *) say "$config: the runtime runsc was added" ;;
esac

if [[ -z $process && -d /run/systemd/system ]]; then
  systemctl reload docker
else
  process=${process:-/var/run/docker.pid}
  if [[ -f $process ]]; then process=$(tr -cd '0-9' <"$process"); fi
  if [[ ! $process =~ ^[0-9]+$ || $(cat "/proc/$process/comm" 2>/dev/null || true) != dockerd ]]; then
    fail "The engine's process was not found (--pid): it reads $config when it starts."
  fi
  kill -HUP "$process"
fi
for _ in $(seq 50); do
  if docker info --format '{{json .Runtimes}}' 2>/dev/null | grep -q '"runsc"'; then
    say "the engine has the runtime runsc; the gateway knows within a minute"
    exit
  fi
  sleep 0.2
done
fail "The engine does not list the runtime runsc." \
  "Does it read $config? (dockerd --config-file)"
