#!/usr/bin/env bash
# Whether the service that runs here (TOSMOOTH_SERVICE) is well: its exit status.
set -euo pipefail

# The page answers with 200. No proxy, no password: these pages ask for none.
answers() {
    python -P -c 'import sys, urllib.request as r; r.build_opener(r.ProxyHandler({})).open(sys.argv[1], timeout=5)' "$1"
}

here=${NODE_IP:-127.0.0.1}
case "${TOSMOOTH_SERVICE:-}" in
    postgres) pg_isready --quiet --host "${POSTGRES_SOCKETS:-$PGDATA}" --port "${POSTGRES_PORT:-5432}" ;;
    mlflow) answers "http://$here:${MLFLOW_PORT:-5000}/health" ;;
    ray-head)
        RAY_AUTH_MODE=token ray health-check --address "${NODE_IP:-$(hostname -i | cut -d' ' -f1)}:${RAY_PORT:-6379}"
        ;;
    ray-worker) answers "http://$here:52365/api/local_raylet_healthz" ;;
    *) tosmooth --help >/dev/null ;;
esac
