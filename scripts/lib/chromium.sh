# shellcheck shell=bash
# Debian's Chromium: tests open pages of sandboxes in it. Needs say.sh and apt.sh.

# ensure_chromium: returns when it is there, or when it may not be installed (having said so).
ensure_chromium() {
  if command -v chromium >/dev/null; then return; fi
  if ! may_install; then
    say "no Chromium is installed, and $(why_not_install):" \
      "tests that open pages of sandboxes in a browser fail"
    return
  fi
  apt_install chromium
}
