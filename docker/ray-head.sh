#!/usr/bin/env bash
# The head of a Ray cluster. It trains nothing (RAY_NUM_CPUS, RAY_NUM_GPUS: unless told so).
# RAY_PORT: where nodes and drivers come to. RAY_DASHBOARD_HOST, RAY_DASHBOARD_PORT: of its page and job server.
set -euo pipefail
# shellcheck source=docker/lib.sh
. "$(dirname "$0")/lib.sh"
ray_token
node=()
ray_node
exec ray start --head --port "${RAY_PORT:-6379}" --num-cpus "${RAY_NUM_CPUS:-0}" --num-gpus "${RAY_NUM_GPUS:-0}" \
    --include-dashboard "${RAY_DASHBOARD:-true}" \
    --dashboard-host "${RAY_DASHBOARD_HOST:-127.0.0.1}" --dashboard-port "${RAY_DASHBOARD_PORT:-8265}" "${node[@]}"
