#!/usr/bin/env bash
# All that is measured on a GPU, in one call of at most nine minutes; `tests/benchmarks/gpu.sh --help` says more.
# It needs a checkout and a Python with torch, torchvision, pyarrow and scikit-learn: PYTHON names another than python3.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python3}
missing=$("$python" -c '
from importlib.util import find_spec
needed = {"torch": "torch", "torchvision": "torchvision", "pyarrow": "pyarrow", "sklearn": "scikit-learn"}
print(*(name for module, name in needed.items() if find_spec(module) is None), sep=", ")')
if [ -n "$missing" ]; then
    echo "error: $python has no $missing; PYTHON names another Python" >&2
    exit 2
fi
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" "$root/tests/benchmarks/gpu.py" "$@"
