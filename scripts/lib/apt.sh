# shellcheck shell=bash
# Debian packages that the set-up may install: as root, on Debian or Ubuntu, unless --no-install.

# Set by --no-install.
NO_INSTALL=${NO_INSTALL:-}

# may_install: whether this script is allowed and able to install packages.
may_install() {
  [[ -z $NO_INSTALL && $EUID -eq 0 ]] && _debian_family
}

_debian_family() {
  command -v apt-get >/dev/null && grep -qsE '^(ID|ID_LIKE)=.*(debian|ubuntu)' /etc/os-release
}

# why_not_install: the reason in words, for messages.
why_not_install() {
  if [[ -n $NO_INSTALL ]]; then
    echo "--no-install was given"
  elif ! _debian_family; then
    echo "this is neither Debian nor Ubuntu"
  elif ((EUID != 0)); then
    echo "that needs root"
  else
    echo "apt-get has no package that is new enough"
  fi
}

# apt_install PACKAGE…
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  # A machine whose package lists are fresh enough saves the time; a stale list is noticed below.
  if ! with_progress "installing $* with apt-get" _apt_get install "$@" 2>/dev/null; then
    with_progress "updating the package lists" _apt_get update
    with_progress "installing $* with apt-get" _apt_get install "$@"
  fi
}

_apt_get() {
  local verb=$1
  shift
  local options=(-q -y -o DPkg::Lock::Timeout=120)
  if [[ $verb == install ]]; then options+=(--no-install-recommends); fi
  apt-get "${options[@]}" "$verb" "$@"
}
