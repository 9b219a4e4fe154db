# shellcheck shell=bash
# The image that sandboxes are made from. Needs ROOT, VENV, say.sh, apt.sh and a running engine.

# shellcheck disable=SC2034  # for the scripts that read this file
DEFAULT_IMAGE=sandbox-websocket-image
DEFAULT_BASE=debian:bookworm
OWN_BASE=sandbox-websocket-base:bookworm
DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# build_image BASE TAG FRESH TEMPLATE: builds scripts/image, or a template of it, on BASE and names it
# TAG. FRESH is --fresh or empty, and so may TEMPLATE be. Where no registry gives the default base, it
# is made from the packages that this machine can install.
build_image() {
  local base=$1 tag=$2 fresh=${3:-} started=$SECONDS
  local own_base=$OWN_BASE${4:+-$4}
  local options=()
  IMAGE_TEMPLATE=${4:-}
  if [[ -n $fresh ]]; then options+=(--fresh); fi

  if with_progress "asking the registry for $base" _image_py pull "$base"; then
    if with_progress "building $tag on $base" _image_py build "$base" "$tag" "${options[@]}"; then
      say "the image $tag is ready, after $((SECONDS - started)) s"
      return
    fi
    if [[ $base != "$DEFAULT_BASE" ]]; then fail "The image $tag could not be built on $base."; fi
    say "the build needs package sources that it cannot reach"
  elif [[ $base != "$DEFAULT_BASE" ]]; then
    fail "The base image $base is neither in reach nor on this machine."
  fi

  say "making the base on this machine, from its own package sources"
  if [[ -n $fresh ]] || ! _image_py has-base "$own_base"; then _make_own_base "$own_base"; fi
  # Nothing is missing on that base, so the build needs no network.
  with_progress "building $tag" _image_py build "$own_base" "$tag" --offline "${options[@]}" ||
    fail "The image $tag could not be built."
  say "the image $tag is ready, after $((SECONDS - started)) s"
}

_image_py() {
  "$VENV/bin/python" -u "$ROOT/scripts/lib/image.py" --template "$IMAGE_TEMPLATE" "$@"
}

# _make_own_base TAG: a minimal Debian plus packages.txt as a tar file, then imported. In a subshell,
# which owns the folder it works in.
_make_own_base() (
  _ensure_mmdebstrap
  # A root filesystem and its tar: too much for a /tmp in memory.
  folder=$(mktemp -d "${TMPDIR:-/var/tmp}/sandbox-gateway-base.XXXXXX")
  trap 'rm -rf "$folder"' EXIT
  _debian_sources >"$folder/machine.list"
  _apt_access >"$folder/apt.conf"
  # As in the Dockerfile: of what a template has, what its packages need is large enough.
  if [[ -n $IMAGE_TEMPLATE ]]; then
    echo 'APT::Install-Recommends "false";' >>"$folder/apt.conf"
  fi
  TMPDIR=$folder with_progress "making a Debian bookworm" \
    mmdebstrap --variant=minbase --include="$(_image_py packages)" --aptopt="$folder/apt.conf" \
    --dpkgopt="$ROOT/scripts/image/dpkg.cfg" --customize-hook="$(_forget_machine)" \
    bookworm "$folder/base.tar" "$folder/machine.list" ||
    fail "The base of the image could not be made." \
      "Package sources: $(awk '{print $NF == "main" ? $(NF-2) : $0}' "$folder/machine.list" | sort -u | paste -sd' ')"
  with_progress "importing it into the engine" \
    _image_py import-base "$1" "$folder/base.tar" || fail "The base could not be imported."
)

_ensure_mmdebstrap() {
  local missing=()
  command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
  [[ -f $DEBIAN_KEYRING ]] || missing+=(debian-archive-keyring)
  if ((${#missing[@]} == 0)); then return; fi
  if may_install; then apt_install "${missing[@]}" || true; fi
  if ! command -v mmdebstrap >/dev/null || [[ ! -f $DEBIAN_KEYRING ]]; then
    fail "No registry gives $DEFAULT_BASE, and this machine lacks what makes it: ${missing[*]}." \
      "Not installed by itself: $(why_not_install)." \
      "Either, as root:  apt-get install ${missing[*]}" \
      "or bring the base from elsewhere:  docker load <debian-bookworm.tar"
  fi
}

# Where this machine gets Debian packages from, as lines for bookworm. A machine without such
# sources (Ubuntu) gets Debian's own.
_debian_sources() {
  local lines
  lines=$(_machine_sources)
  if [[ -z $lines ]] && may_install; then
    # Package lists that were never fetched do not say whose they are.
    _apt_get update >&2 || true
    lines=$(_machine_sources)
  fi
  if [[ -z $lines ]]; then lines=$(_official_sources "[signed-by=$DEBIAN_KEYRING] "); fi
  echo "$lines"
}

_machine_sources() {
  # The dollars belong to apt's format.
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(CREATED_BY) $(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)' 2>/dev/null |
    awk -v keyring="$DEBIAN_KEYRING" '
      $1 == "Packages" && $2 == "Debian" && $3 == "main" && $5 !~ /backports|proposed/ {
        suite = "bookworm"
        if ($5 ~ /updates$/ && $5 !~ /\//) suite = "bookworm-updates"
        if ($5 ~ /security|\/updates$/) suite = "bookworm-security"
        print "deb [signed-by=" keyring "] " $4 " " suite " main"
      }' | sort -u || true
}

# _official_sources OPTIONS
_official_sources() {
  local url=http://deb.debian.org
  printf 'deb %s%s %s main\n' "$1" "$url/debian" bookworm "$1" "$url/debian" bookworm-updates \
    "$1" "$url/debian-security" bookworm-security
}

# How this machine's apt reaches its sources: proxies, certificates, logins.
_apt_access() {
  apt-config dump 2>/dev/null | grep -E '^Acquire::(https?::|Retries|ForceIPv|Check-).* ".+";$' || true
  echo 'Dir::Etc::netrc "/etc/apt/auth.conf"; Dir::Etc::netrcparts "/etc/apt/auth.conf.d";'
}

# A shell command for mmdebstrap: the image does not tell from which machine it comes.
_forget_machine() {
  cat <<HOOK
rm -f "\$1"/etc/apt/apt.conf.d/99mmdebstrap "\$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap \
  "\$1"/etc/apt/sources.list.d/* "\$1"/etc/hostname "\$1"/etc/resolv.conf
cat >"\$1/etc/apt/sources.list" <<'LIST'
$(_official_sources "")
LIST
HOOK
}
