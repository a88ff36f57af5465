# A throwaway PostgreSQL for the tests: `. script/postgres.sh`. Whoever starts it sets a trap that stops it.

# Prints the folder of the newest server's binaries; fails where there is none. POSTGRES_BIN names one by hand.
find_postgres() {
  local folder found=
  for folder in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin /opt/homebrew/opt/postgresql*/bin ${POSTGRES_BIN:-}; do
    if [ -x "$folder/initdb" ]; then found=$folder; fi
  done
  [ -n "$found" ] && printf '%s\n' "$found"
}

# The server refuses to run as root.
as_postgres() {
  if [ "$(id -u)" = 0 ]; then
    (cd / && runuser -u postgres -- "$@")
  else
    "$@"
  fi
}

# start_postgres BIN: sets POSTGRES_URL. Durable as in production: fsync stays on.
start_postgres() {
  local port
  POSTGRES_HOME=$1
  POSTGRES_DIR=$(mktemp -d /tmp/tradehub-postgres.XXXXXX)
  port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  if [ "$(id -u)" = 0 ]; then chown postgres: "$POSTGRES_DIR"; fi
  as_postgres "$POSTGRES_HOME/initdb" -D "$POSTGRES_DIR/data" -U tradehub -A trust -E UTF8 --no-locale > /dev/null
  as_postgres "$POSTGRES_HOME/pg_ctl" -D "$POSTGRES_DIR/data" -l "$POSTGRES_DIR/log" -w -t 60 -s \
    -o "-c listen_addresses=127.0.0.1 -p $port -k $POSTGRES_DIR -c max_connections=200" start ||
    { cat "$POSTGRES_DIR/log" >&2; return 1; }
  POSTGRES_URL=postgres://tradehub@127.0.0.1:$port/postgres
}

stop_postgres() {
  [ -n "${POSTGRES_DIR:-}" ] || return 0
  as_postgres "$POSTGRES_HOME/pg_ctl" -D "$POSTGRES_DIR/data" -m immediate -s stop || true
  rm -rf "$POSTGRES_DIR"
}
