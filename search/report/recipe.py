"""Lines of PyTorch that train with what a study found, in code of one's own."""

from collections.abc import Iterator

from tosmooth.search.records import Cell
from tosmooth.search.spec.parameters import BASELINE_METHOD, Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.config import TrialConfig

# Modules of `tosmooth.losses` by their methods. Of others there is none: they remember examples, or mix them.
MODULES = {
    "gls": "GeneralizedSmoothing",
    "confidence-penalty": "ConfidencePenalty",
    "disturb-label": "DisturbLabel",
    "forward": "ForwardCorrection",
    "backward": "BackwardCorrection",
    "peer": "PeerLoss",
    "sce": "SymmetricCrossEntropy",
    "gce": "GeneralizedCrossEntropy",
    "mae": "MeanAbsoluteError",
    "nce-rce": "NormalizedReverseCrossEntropy",
    "bootstrap-soft": "SoftBootstrapping",
    "bootstrap-hard": "HardBootstrapping",
    "logit-norm": "LogitNorm",
    "logit-clip": "LogitClip",
}
LOOP = """\
for epoch in range({epochs}):
    loss.epoch = epoch{factor}
    for {each}:  # yours, as are model and optimizer{within}
        optimizer.zero_grad()
        loss(model(inputs), labels).backward()
        optimizer.step()"""
FACTOR = """
    if epoch == {warmup}:
        for group in optimizer.param_groups:
            group["lr"] *= {factor!r}"""
RAMP = """
        loss.epoch = epoch + i / len(batches)"""
PLAIN = """\
# The same loss in plain PyTorch, for logits [B, K] and labels [B]:
def smoothed(logits, labels, epoch):
    rate = {rate!r}{warmed}
    log_p = logits.float().log_softmax(dim=1)
    given = log_p.gather(1, labels[:, None])[:, 0]
    return -((1 - rate) * given + rate * log_p.mean(dim=1)).mean()"""
TRAP = """\
# A trap: torch.nn.CrossEntropyLoss(label_smoothing={rate:g}) raises nothing and is plain cross-entropy."""


def recipe(spec: StudySpec, cell: Cell, params: Params) -> str:
    """Write the lines for a cell's chosen parameters; a comment where the method has no module, or is your own code."""
    config = spec.trial_config(cell, params, 0)
    return "\n".join(_lines(spec, cell, config))


def _lines(spec: StudySpec, cell: Cell, config: TrialConfig) -> Iterator[str]:
    yield f"# {cell.key} of the study {spec.name}, which trained {_training(config)}"
    made = _module(config)
    if made is None:
        yield f"# {config.method}: no module in tosmooth.losses; the study file beside trains it"
        return
    epochs, warmup = config.training.epochs, config.warmup
    factor = FACTOR.format(warmup=warmup, factor=config.lr_after_warmup) if config.lr_after_warmup != 1 else ""
    yield f"import tosmooth as ts\n\nloss = ts.losses.{made}"
    ramp = config.parameters.get("ramp", 0) > 0
    each = "i, (inputs, labels) in enumerate(batches)" if ramp else "inputs, labels in batches"
    yield LOOP.format(epochs=epochs, factor=factor, each=each, within=RAMP if ramp else "")
    if config.method == BASELINE_METHOD and not ramp:
        yield ""
        yield PLAIN.format(rate=config.rate, warmed=f" if epoch >= {warmup} else 0.0" if warmup else "")
    if config.method == BASELINE_METHOD and config.rate < 0:
        yield ""
        yield TRAP.format(rate=config.rate)


def _module(config: TrialConfig) -> str | None:
    """Call that makes the loss; `None` where there is no module, or its matrix is not known before it is trained."""
    name = MODULES.get(config.method)
    if name is None or config.transition in ("estimated", "measured"):
        return None
    own = ({"rate": config.rate} if config.method == BASELINE_METHOD else {}) | config.parameters
    given = [f"{key}={value!r}" for key, value in own.items() if key != "ramp" or value > 0]
    matrix = [] if config.transition is None else [repr([list(row) for row in config.transition])]
    warmup = [f"warmup={config.warmup}"] if config.warmup else []
    return f"{name}({', '.join([*matrix, *given, *warmup])})"


def _training(config: TrialConfig) -> str:
    """Say how the study trained, as far as the loss's effect depends on it."""
    if config.trainable is not None:
        return f"by {config.trainable}"
    training = config.training
    words = f"{config.network.name} for {training.epochs} epochs in batches of {training.batch_size}"
    words = f"{words} by {training.optimizer.name}, lr {training.optimizer.lr:g} ({training.schedule.name})"
    weights = training.class_weights
    return words if weights == "none" else f"{words}, examples weighed by their class ({weights})"
