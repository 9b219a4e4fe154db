# shellcheck shell=bash
# PostgreSQL's server programs: the tests start a server of their own. Needs say.sh and apt.sh.

# ensure_postgres: returns when they are there, or when they may not be installed (having said so).
ensure_postgres() {
  if compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null; then return; fi
  if ! may_install; then
    say "no PostgreSQL server is installed, and $(why_not_install):" \
      "the store is tested with SQLite only"
    return
  fi
  # Debian's package would else make a cluster and start it as a service.
  local drop_in=/etc/postgresql-common/createcluster.d
  apt_install postgresql-common
  mkdir -p "$drop_in"
  echo "create_main_cluster = false" >"$drop_in/sandbox-gateway.conf"
  apt_install postgresql
}
