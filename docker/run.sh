#!/usr/bin/env bash
# Runs a study on a cluster and ends with its exit status: run.sh STUDY [options of `tosmooth run`].
# TOSMOOTH_ADDRESS: HOST:PORT of the head, which a node without CPUs is joined to first, since a driver of Ray needs one
# on its machine, unless RAY_JOIN is false; or `auto`, where one runs here. RAY_NODES: how many nodes with CPUs it waits
# for, since as many trials run at once as there is room for when it begins. TOSMOOTH_STORAGE, TOSMOOTH_TRACKING_URI, TOSMOOTH_HOME,
# TOSMOOTH_DATA_DIR: as for `tosmooth run`. TOSMOOTH_DB_PASSWORD, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD:
# of the database and of MLflow, for addresses without them.
set -euo pipefail
# shellcheck source=docker/lib.sh
. "$(dirname "$0")/lib.sh"
need TOSMOOTH_ADDRESS
[ $# -gt 0 ] || refuse "name a study: run.sh STUDY"
[ -z "${MLFLOW_TRACKING_PASSWORD:-}" ] || secret MLFLOW_TRACKING_PASSWORD
if [ -n "${TOSMOOTH_DB_PASSWORD:-}" ]; then
    secret TOSMOOTH_DB_PASSWORD
    export PGPASSWORD=$TOSMOOTH_DB_PASSWORD
    unset TOSMOOTH_DB_PASSWORD
fi
ray_token
joined=

join() {
    local words node=()
    words=$(mktemp)
    ray_node
    env -u PGPASSWORD -u MLFLOW_TRACKING_PASSWORD ray start --address "$TOSMOOTH_ADDRESS" --num-cpus 0 --num-gpus 0 \
        "${node[@]}" >"$words" 2>&1 &
    joined=$!
    until grep --quiet "Ray runtime started" "$words"; do
        kill -0 "$joined" 2>/dev/null || {
            cat "$words" >&2
            refuse "no node of this machine could join $TOSMOOTH_ADDRESS"
        }
        sleep 0.2
    done
    rm "$words"
}

# Until RAY_NODES nodes offer CPUs, for ten minutes.
gather() {
    python - "$TOSMOOTH_ADDRESS" "$RAY_NODES" <<'END'
import logging, sys, time
import ray

ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
for _ in range(600):
    there = sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())
    if there >= int(sys.argv[2]):
        break
    time.sleep(1)
else:
    sys.exit(f"of {sys.argv[2]} nodes {there} have come")
END
}

# shellcheck disable=SC2317 # called by the trap
leave() {
    if [ -n "$joined" ] && kill "$joined" 2>/dev/null; then
        wait "$joined" || true
    fi
}

trap leave EXIT
[ "$TOSMOOTH_ADDRESS" = auto ] || [ "${RAY_JOIN:-true}" = false ] || join
[ -z "${RAY_NODES:-}" ] || gather
# In the background, so that this shell hears of a signal at once; the study ends, and can be taken up again.
tosmooth run "$@" --address "$TOSMOOTH_ADDRESS" &
study=$!
trap 'kill -TERM "$study" 2>/dev/null || true' TERM INT
status=0
wait "$study" || status=$?
while kill -0 "$study" 2>/dev/null; do
    status=0
    wait "$study" || status=$?
done
exit "$status"
