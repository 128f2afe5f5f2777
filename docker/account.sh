#!/usr/bin/env bash
# The account under which all runs in the image, and the folders that volumes are mounted on: a new volume takes over
# their owner. ROOT: before all paths, to try it elsewhere than in an image.
set -euo pipefail
ROOT=${ROOT:-}
ID=10001 # beyond a host's own accounts

if [ -z "$ROOT" ]; then
    groupadd --gid "$ID" tosmooth
    useradd --uid "$ID" --gid "$ID" --create-home --shell /usr/sbin/nologin tosmooth
fi
mkdir -p "$ROOT"/srv/tosmooth/{home,data,cache,artifacts,studies} "$ROOT/etc/profile.d"
[ "$(id -u)" -ne 0 ] || chown -R "$ID:$ID" "$ROOT/srv/tosmooth"
# A login shell, which KubeRay starts Ray in, sets the PATH anew.
# shellcheck disable=SC2016 # the shell that reads it fills in PATH
echo 'PATH=/opt/tosmooth/venv/bin:$PATH' >"$ROOT/etc/profile.d/tosmooth.sh"
