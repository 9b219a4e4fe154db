# shellcheck shell=bash
# A Docker Engine that answers: the running one, else the installed one, else a new one.
# Needs ROOT, VENV, say.sh and apt.sh.

ENGINE_WAIT_S=60
ENGINE_LOG=/var/log/sandbox-gateway-dockerd.log

# ensure_engine: returns when an engine answers, else ends the script and says what to do.
# Exports DOCKER_HOST when the engine is that of a docker context.
ensure_engine() {
  adopt_engine_address
  local reason status=0
  reason=$(_ping_engine) || status=$?
  case $status in
    0) return ;;
    11) _fail_not_allowed "$reason" ;;
  esac
  if [[ -n ${DOCKER_HOST:-} ]]; then
    fail "No Docker Engine answers where DOCKER_HOST, or else the docker context, says." "$reason" \
      "Start it; or unset DOCKER_HOST (or run: docker context use default) for this machine's own."
  fi

  if ! command -v dockerd >/dev/null; then _install_engine; fi
  if ! _engine_answers; then _start_engine; fi
}

# adopt_engine_address: what the docker command line would use, the SDK shall use too.
adopt_engine_address() {
  local address
  address=$("$VENV/bin/python" -S -E "$ROOT/scripts/lib/engine_api.py" address)
  if [[ $address != unix:///var/run/docker.sock ]]; then export DOCKER_HOST=$address; fi
}

_ping_engine() {
  local isolated=(-S -E)
  # With certificates or over ssh the question needs the SDK.
  if [[ -n ${DOCKER_TLS_VERIFY:-} || ${DOCKER_HOST:-} == ssh:* ]]; then isolated=(); fi
  "$VENV/bin/python" "${isolated[@]}" "$ROOT/scripts/lib/engine_api.py" ping
}

_engine_answers() {
  _ping_engine >/dev/null
}

_fail_not_allowed() {
  local user
  user=$(id -un)
  if id -nG "$user" | grep -qw docker; then
    fail "The user $user is in the group 'docker', but this login is older than that." \
      "Log in again, or run: newgrp docker"
  fi
  fail "A Docker Engine is there, but the user $user may not use it: not in the group 'docker'." \
    "$1" \
    "Add the user, then log in again: sudo usermod -aG docker $user" \
    "(members of that group can become root on this machine)"
}

_install_engine() {
  if ! may_install; then
    fail "No Docker Engine is installed on this machine, and none answers." \
      "It was not installed by itself: $(why_not_install)." \
      "On Debian and Ubuntu, as root:  apt-get install docker.io iptables" \
      "Elsewhere:  https://docs.docker.com/engine/install/" \
      "An engine on another address:  DOCKER_HOST=unix:///path/to/docker.sock $0"
  fi
  say "there is no Docker Engine: installing Debian's (docker.io, iptables)"
  apt_install docker.io iptables || fail "The Docker Engine could not be installed."
}

_start_engine() {
  if [[ -d /run/systemd/system ]]; then
    _start_by_systemd
  elif ((EUID == 0)); then
    _start_by_hand
  else
    fail "The Docker Engine is installed, but does not run." \
      "Start it as root, for example: sudo service docker start"
  fi
}

_start_by_systemd() {
  if ((EUID != 0)); then
    fail "The Docker Engine is installed, but does not run." \
      "Start it: sudo systemctl start docker"
  fi
  say "starting the Docker Engine (systemctl start docker)"
  # A unit that failed too often refuses to start until it is reset.
  systemctl reset-failed docker.service 2>/dev/null || true
  if ! systemctl start docker.service || ! _wait_for_engine; then
    journalctl --unit docker.service --lines 20 --no-pager >&2 || true
    fail "The Docker Engine does not answer; the end of its journal is above."
  fi
}

# No init system runs (a container, a bare virtual machine): dockerd becomes a daemon of its own,
# which stays when the gateway ends.
_start_by_hand() {
  if ! command -v iptables >/dev/null && may_install; then
    # dockerd does not start without; not every docker.io brings it.
    apt_install iptables || fail "The Docker Engine needs iptables."
  fi
  _drop_stale_pid_file /var/run/docker.pid dockerd
  _drop_stale_pid_file /var/run/docker/containerd/containerd.pid containerd
  local started=
  # A pid file that is left names a dockerd which is just starting.
  if [[ ! -f /var/run/docker.pid ]]; then
    say "starting the Docker Engine by hand (its log: $ENGINE_LOG)"
    (
      # Newer ones do not ask by themselves to be spared when memory runs out. Not all roots may.
      { echo -500 >/proc/self/oom_score_adj; } 2>/dev/null || true
      cd / && exec setsid dockerd >"$ENGINE_LOG" 2>&1 </dev/null
    ) &
    started=$!
  fi
  if ! _wait_for_engine "$started"; then
    tail -n 20 "$ENGINE_LOG" >&2 || true
    fail "The Docker Engine does not answer; the end of its log is above ($ENGINE_LOG)."
  fi
}

# dockerd refuses to start, or waits for a containerd that is not there, when a pid file is left
# from an earlier boot and some other program has that pid by now.
_drop_stale_pid_file() {
  local file=$1 program=$2 pid
  [[ -f $file ]] || return 0
  pid=$(tr -cd '0-9' <"$file")
  if [[ -z $pid || $(cat "/proc/$pid/comm" 2>/dev/null || true) != "$program" ]]; then
    rm -f "$file"
  fi
}

# _wait_for_engine [PID]: fails after ENGINE_WAIT_S, or as soon as process PID has ended.
_wait_for_engine() {
  local pid=${1:-} started=$SECONDS said=0
  until _engine_answers; do
    if ((SECONDS - started >= ENGINE_WAIT_S)); then return 1; fi
    if [[ -n $pid ]] && ! kill -0 "$pid" 2>/dev/null; then return 1; fi
    if ((SECONDS - started >= said + 4)); then
      said=$((SECONDS - started))
      say "waiting for the Docker Engine: $said s"
    fi
    sleep 0.2
  done
}
