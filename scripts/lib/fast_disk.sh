# shellcheck shell=bash
# A file system that shares blocks (XFS with reflink), on a file of the host, for sandboxes' disks:
# there snapshots and forks take the same time whatever the size. Needs say.sh and apt.sh.
#
# The file is fast-disk.xfs in the data directory. Where it is, each start mounts it.

# fast_disk_check SIZE: ends the script with status 2 where that is none.
fast_disk_check() {
  if [[ ! $1 =~ ^[1-9][0-9]{0,5}[GT]$ ]]; then
    echo "start: the size of the fast disk must be like 50G or 1T, not '$1'" >&2
    exit 2
  fi
}

# fast_disk_use [SIZE]: makes it if SIZE is given and it is missing; mounts it where it is there, and
# has SANDBOX_DISK_DIR say so, which takes precedence if it is set already.
fast_disk_use() {
  _fast_disk_places
  if [[ -n ${1:-} ]]; then _fast_disk_make "$1"; fi
  if [[ ! -f $FAST_DISK_IMAGE ]]; then return; fi
  if ! mountpoint -q "$FAST_DISK_PLACE"; then
    mkdir -p -m 0700 "$FAST_DISK_PLACE"
    mount -t xfs -o loop,noatime,nosuid,nodev "$FAST_DISK_IMAGE" "$FAST_DISK_PLACE" ||
      fail "The fast disk cannot be mounted: $FAST_DISK_IMAGE" \
        "Look at it:  xfs_repair -n $FAST_DISK_IMAGE" \
        "or give it up, with its snapshots:  ./start.sh --remove-fast-disk"
  fi
  if [[ -z ${SANDBOX_DISK_DIR:-} ]]; then export SANDBOX_DISK_DIR=$FAST_DISK_PLACE/disks; fi
}

# fast_disk_remove: undoes it. Fails while sandboxes have their disks there.
fast_disk_remove() {
  _fast_disk_places
  if mountpoint -q "$FAST_DISK_PLACE"; then
    umount "$FAST_DISK_PLACE" ||
      fail "Sandboxes have their disks on it." "End them first:  ./start.sh --stop-all"
  fi
  rm -f "$FAST_DISK_IMAGE"
  if [[ -d $FAST_DISK_PLACE ]]; then rmdir "$FAST_DISK_PLACE"; fi
  say "there is no fast disk any more, and none of its snapshots"
}

# ensure_xfsprogs: returns when there is mkfs.xfs, else ends the script.
ensure_xfsprogs() {
  if command -v mkfs.xfs >/dev/null; then return; fi
  may_install || fail "mkfs.xfs is missing, and is not installed: $(why_not_install)." \
    "Install it:  apt-get install xfsprogs"
  apt_install xfsprogs
}

_fast_disk_places() {
  local data=${SANDBOX_DATA_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/sandbox-gateway}
  FAST_DISK_IMAGE=$data/fast-disk.xfs
  FAST_DISK_PLACE=$data/fast-disk
}

_fast_disk_make() {
  local size=$1 bytes made
  bytes=$(numfmt --from=iec "$size")
  if [[ -f $FAST_DISK_IMAGE ]]; then
    made=$(stat -c %s "$FAST_DISK_IMAGE")
    if ((made == bytes)); then return; fi
    fail "There is a fast disk of $(numfmt --to=iec "$made") already." \
      "Give it up first, with its snapshots:  ./start.sh --remove-fast-disk"
  fi
  if ((EUID != 0)); then fail "Only root mounts file systems: a fast disk needs root."; fi
  ensure_xfsprogs
  mkdir -p -m 0700 "${FAST_DISK_IMAGE%/*}"
  # Blocks are reserved at once: else the file system would believe in room that the host has not.
  # Under another name until it is whole.
  if ! fallocate -l "$bytes" "$FAST_DISK_IMAGE.new" 2>/dev/null ||
    ! mkfs.xfs -q -K -m reflink=1 "$FAST_DISK_IMAGE.new"; then
    rm -f "$FAST_DISK_IMAGE.new"
    fail "There is no room for a fast disk of $size in ${FAST_DISK_IMAGE%/*}."
  fi
  mv "$FAST_DISK_IMAGE.new" "$FAST_DISK_IMAGE"
  say "made a fast disk of $size: $FAST_DISK_IMAGE"
}
