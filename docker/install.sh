#!/usr/bin/env bash
# The image's Python environment, in two steps, since the first takes minutes and changes seldom:
#   install.sh dependencies   all of requirements.lock, each file checked against its hash
#   install.sh project        this project, built from what lies here with the lock's build backend
# VENV: where it goes. PYTHON: with which Python. DEVICE: cuda, or cpu, which leaves out what only a GPU runs.
# TORCH_INDEX (cpu only): address of a package index with PyTorch's builds for the CPU, 4 GB smaller. The lock has no
# hashes of these two files: their versions are the lock's, and whoever names the index vouches for it.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=docker/lib.sh
. docker/lib.sh

UV_VERSION=0.13.8 # as in the Makefile
VENV=${VENV:-/opt/tosmooth/venv}
PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda}
unset PYTHONDONTWRITEBYTECODE # without cached bytecode every worker of Ray spends 10 s on imports

# The pins of the lock but those whose names match.
without() {
    awk -v names="^($1)==" '/^[A-Za-z0-9]/ { keep = $0 !~ names } keep' requirements.lock
}

install() {
    "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --compile-bytecode "$@"
}

dependencies() {
    [ -x "$VENV/bin/uv" ] || {
        "$PYTHON" -m venv "$VENV"
        "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    }
    local left_out torch
    case "$DEVICE" in
        cuda) left_out=nothing ;;
        cpu) left_out=triton${TORCH_INDEX:+|torch|torchvision|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*} ;;
        *) refuse "DEVICE is cpu or cuda" ;;
    esac
    install --no-deps --require-hashes --requirements <(without "$left_out")
    if [ "$DEVICE" = cpu ] && [ -n "${TORCH_INDEX:-}" ]; then
        mapfile -t torch < <(awk '/^(torch|torchvision)==/ { print $1 }' requirements.lock)
        install --no-deps --index-url "$TORCH_INDEX" "${torch[@]}"
    fi
}

project() {
    install --no-deps --no-build-isolation .
}

case "${1:-}" in
    dependencies | project) "$1" ;;
    *) refuse "say what: dependencies or project" ;;
esac
