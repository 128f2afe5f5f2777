"""A start of the usual platform on twonorm: writes the time of the first training step to FILE (`bench_startup.py`).

python tests/benchmarks/usual_start.py FILE
"""

import sys
import tempfile
from pathlib import Path

import usual
from ray import tune
from usual_trials import first_epoch

from tosmooth.search.spec.loading import load_study
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.files.folders import Folders


def main() -> None:
    spec = load_study("twonorm")
    noise = spec.dataset.noise[0]
    base = TrialConfig(data=spec.data_config(noise), network=spec.network, training=spec.training)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, usual.local_ray():
        scratch = Path(name)
        folders = Folders(scratch / "data", scratch / "cache")
        trainable = tune.with_parameters(first_epoch, base=base, folders=folders)
        _, results = usual.run(trainable, usual.DefineByRun.of(spec), noise, 2, scratch, concurrent=2)
    first = min(result["first_step"] for result in results)
    Path(sys.argv[1]).write_text(str(first))


if __name__ == "__main__":
    main()
