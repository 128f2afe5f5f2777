#!/usr/bin/env bash
# A node of the cluster whose head is at RAY_HEAD (HOST:PORT), which trains.
# RAY_NUM_CPUS, RAY_NUM_GPUS: what it offers (otherwise the cores it may use, and the GPUs that Ray finds). RAY_RESOURCES: further ones, as JSON.
set -euo pipefail
# shellcheck source=docker/lib.sh
. "$(dirname "$0")/lib.sh"
need RAY_HEAD
ray_token
node=()
ray_node
node+=(--num-cpus "${RAY_NUM_CPUS:-$(usable_cores)}")
[ -z "${RAY_NUM_GPUS:-}" ] || node+=(--num-gpus "$RAY_NUM_GPUS")
[ -z "${RAY_RESOURCES:-}" ] || node+=(--resources "$RAY_RESOURCES")
exec ray start --address "$RAY_HEAD" "${node[@]}"
