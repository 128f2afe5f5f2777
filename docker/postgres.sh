#!/usr/bin/env bash
# PostgreSQL with a database for tosmooth and two for MLflow, made where they are missing, then served.
# PGDATA: its folder. TOSMOOTH_DB_PASSWORD, MLFLOW_DB_PASSWORD: of the two roles; changed ones are in force at the next
# start. POSTGRES_CLIENTS: who may come, as in pg_hba.conf. Arguments are postgres's own: -c NAME=VALUE.
# The superuser comes through the socket alone, as the account that runs this; there is no password for it.
set -euo pipefail
# shellcheck source=docker/lib.sh
. "$(dirname "$0")/lib.sh"
need PGDATA
secret TOSMOOTH_DB_PASSWORD
secret MLFLOW_DB_PASSWORD
programs=$(find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1) # Debian: not on the PATH
[ -z "$programs" ] || PATH=$(dirname "$programs"):$PATH
command -v initdb >/dev/null || refuse "PostgreSQL is not installed"
sockets=${POSTGRES_SOCKETS:-$PGDATA}
port=${POSTGRES_PORT:-5432}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --pgdata "$PGDATA" --auth-local=peer --auth-host=scram-sha-256 --encoding=UTF8 --locale=C >/dev/null
fi
cat >"$PGDATA/pg_hba.conf" <<END
local all                all    peer
host  tosmooth           tosmooth ${POSTGRES_CLIENTS:-samenet} scram-sha-256
host  mlflow,mlflow_auth mlflow   ${POSTGRES_CLIENTS:-samenet} scram-sha-256
END
# Before anyone else is let in. The passwords reach psql through its environment: a command line is public.
pg_ctl start --silent --wait --pgdata "$PGDATA" --log "$PGDATA/init.log" \
    --options "-c listen_addresses='' -c log_min_error_statement=panic -k '$sockets' -p $port"
TOSMOOTH_DB_PASSWORD=$TOSMOOTH_DB_PASSWORD MLFLOW_DB_PASSWORD=$MLFLOW_DB_PASSWORD \
    psql --no-psqlrc --quiet --host "$sockets" --port "$port" --dbname postgres --set ON_ERROR_STOP=1 \
    --file "$(dirname "$0")/postgres.sql"
pg_ctl stop --silent --wait --pgdata "$PGDATA" --mode fast
exec env -u TOSMOOTH_DB_PASSWORD -u MLFLOW_DB_PASSWORD postgres -D "$PGDATA" -p "$port" -k "$sockets" \
    -c "listen_addresses=${POSTGRES_LISTEN:-*}" "$@"
