# Sourced by the other scripts: settings that are missing, or still the example's, end them before anything starts.
# shellcheck shell=bash

export PYTHONSAFEPATH=1 # `python -c` and `python -m`, here and in all that is started: no modules from where the user is

refuse() {
    echo "${0##*/}: $*" >&2
    exit 2
}

# need NAME: the setting is given.
need() {
    [ -n "${!1:-}" ] || refuse "$1 is not set; docker/README.md says what it is"
}

# secret NAME: the setting is given, and is not what docker/example.env has in its place.
secret() {
    need "$1"
    case "${!1}" in
        change-me*) refuse "$1 is the example's: make one of your own, such as with: openssl rand -hex 32" ;;
    esac
    local value=${!1}
    [ "${#value}" -ge 12 ] || refuse "$1 is refused: 12 characters or more"
}

# Ray's servers run whatever code they are sent: never without a token, here or in a file that RAY_AUTH_TOKEN_PATH names.
ray_token() {
    export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0
    if [ -n "${RAY_AUTH_TOKEN_PATH:-}" ]; then
        [ -s "$RAY_AUTH_TOKEN_PATH" ] || refuse "RAY_AUTH_TOKEN_PATH names no file with a token"
    else
        secret RAY_AUTH_TOKEN
        export RAY_AUTH_TOKEN
    fi
}

# The options of `ray start` that all nodes share, put into the array `node`. NODE_IP: the address under which the others
# reach this machine (otherwise Ray finds one); RAY_OBJECT_STORE_BYTES: nothing large passes between trials and driver.
ray_node() {
    node=(--block --disable-usage-stats --object-store-memory "${RAY_OBJECT_STORE_BYTES:-200000000}")
    [ -z "${NODE_IP:-}" ] || node+=(--node-ip-address "$NODE_IP")
}

# The cores that this machine's share of a job may use: affinity, cpuset and quota, as `tosmooth run` counts them.
usable_cores() {
    python -c 'from tosmooth.search.preflight.limits import usable_cores; print(usable_cores())'
}
