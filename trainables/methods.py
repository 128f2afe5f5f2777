"""Methods that a study can compare, and the parameters that are searched. Their losses are in `trainables.losses`.

Loaded without torch, so that a study file is checked at once. During the warm-up every method trains plain
cross-entropy, in a trunk that all methods share; what a method remembers begins with the branch. A method that acts
`from_start` has a trunk of its own, and no warm-up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from tosmooth.trainables import rules
from tosmooth.trainables.errors import InputError, shown
from tosmooth.trainables.rules import Rule


@dataclass(frozen=True, slots=True)
class Parameter:
    """Number that a method is set by. `low` and `high`: bounds of its search, unless a study says otherwise."""

    default: float  # its source's
    low: float
    high: float
    scale: Literal["linear", "log", "symlog"]
    meaning: str
    rule: Rule  # which values it may have at all
    searched: bool = True  # or: as it is, unless a study names it


@dataclass(frozen=True, slots=True)
class Method:
    """Method that trains a network on noisy labels after the warm-up."""

    title: str
    source: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    needs_transition: bool = False  # P(noisy label | clean label): given, measured or estimated
    from_start: bool = False  # acts from the first epoch: it shares no trunk with other methods, and has no warm-up
    mixes: bool = False  # changes the inputs: its loss is a `MixingLoss`
    weighs: bool = True  # its loss is a mean over examples of one label each, which classes may weigh
    soft: bool = False  # its loss takes soft targets in place of labels
    recalls: bool = False  # remembers something of each example, which then must come once an epoch


def _rate(meaning: str) -> Parameter:
    return Parameter(0.0, -8.0, 0.8, "symlog", meaning, rules.smoothing_rate)


METHODS: dict[str, Method] = {
    "gls": Method(
        "generalised label smoothing",
        "Wei et al. 2022, arXiv 2106.04149",
        {
            "rate": _rate("smoothing rate: 0 is cross-entropy, above 0 label smoothing, below 0 negative smoothing"),
            "ramp": Parameter(
                0.0, 0.0, 10.0, "linear", "epochs after the warm-up in which the rate grows from 0", rules.weight, False
            ),
        },
        soft=True,
    ),
    "confidence-penalty": Method(
        "confidence penalty",
        "Pereyra et al. 2017, arXiv 1701.06548",
        {"beta": Parameter(0.1, 0.01, 8.0, "log", "weight of the entropy that is subtracted", rules.weight)},
        soft=True,
    ),
    "disturb-label": Method(
        "label flipping (DisturbLabel)",
        "Xie et al. 2016, arXiv 1605.00055",
        {"alpha": Parameter(0.1, 0.0, 0.8, "linear", "share of the labels drawn evenly, anew each step", rules.share)},
    ),
    "forward": Method("forward correction", "Patrini et al. 2017, arXiv 1609.03683, theorem 2", needs_transition=True),
    "backward": Method(
        "backward correction", "Patrini et al. 2017, arXiv 1609.03683, theorem 1", needs_transition=True
    ),
    "peer": Method(
        "peer loss",
        "Liu & Guo 2020, arXiv 1910.03346",
        {"alpha": Parameter(1.0, 0.1, 2.0, "linear", "weight of the peers' loss, subtracted", rules.weight)},
        weighs=False,  # a peer's label is another example's
    ),
    "sce": Method(
        "symmetric cross-entropy",
        "Wang et al. 2019, arXiv 1908.06112",
        {
            "alpha": Parameter(0.1, 0.01, 10.0, "log", "weight of cross-entropy", rules.weight),
            "beta": Parameter(1.0, 0.1, 10.0, "log", "weight of reverse cross-entropy", rules.weight),
        },
    ),
    "gce": Method(
        "generalised cross-entropy",
        "Zhang & Sabuncu 2018, arXiv 1805.07836",
        {"q": Parameter(0.7, 0.1, 1.0, "linear", "from cross-entropy (0) to half the MAE (1)", rules.exponent)},
    ),
    "mae": Method("mean absolute error", "Ghosh et al. 2017, arXiv 1712.09482"),
    "nce-rce": Method(
        "normalised and reverse cross-entropy",
        "Ma et al. 2020, arXiv 2006.13554",
        {
            "alpha": Parameter(1.0, 0.1, 10.0, "log", "weight of normalised cross-entropy", rules.weight),
            "beta": Parameter(1.0, 0.1, 10.0, "log", "weight of reverse cross-entropy", rules.weight),
        },
    ),
    "bootstrap-soft": Method(
        "soft bootstrapping",
        "Reed et al. 2015, arXiv 1412.6596",
        {"beta": Parameter(0.95, 0.5, 1.0, "linear", "share of the label, against the prediction", rules.share)},
    ),
    "bootstrap-hard": Method(
        "hard bootstrapping",
        "Reed et al. 2015, arXiv 1412.6596",
        {"beta": Parameter(0.8, 0.5, 1.0, "linear", "share of the label, against the likeliest class", rules.share)},
    ),
    "elr": Method(
        "early-learning regularisation",
        "Liu et al. 2020, arXiv 2007.00151",
        {
            "beta": Parameter(0.7, 0.5, 0.99, "linear", "share of a target that stays at each step", rules.momentum),
            "lam": Parameter(3.0, 0.5, 10.0, "log", "weight of the regulariser, lambda", rules.weight),
        },
        recalls=True,
    ),
    "mixup": Method(
        "mixup",
        "Zhang et al. 2018, arXiv 1710.09412",
        {
            "alpha": Parameter(
                1.0, 0.1, 32.0, "log", "of Beta(alpha, alpha), which shares are drawn from", rules.positive
            )
        },
        from_start=True,
        mixes=True,
        weighs=False,  # an example has two labels
    ),
    "logit-norm": Method(
        "logit normalisation",
        "Wei et al. 2022, arXiv 2205.09310",
        {
            "temperature": Parameter(0.04, 0.01, 1.0, "log", "the logits' norm is 1 / temperature", rules.positive),
            "rate": _rate("smoothing rate of the normalised logits"),
        },
        soft=True,
    ),
    "logit-clip": Method(
        "logit clipping",
        "Wei et al. 2023, arXiv 2212.04055",
        {
            "tau": Parameter(1.0, 0.5, 20.0, "log", "the greatest norm of the logits", rules.positive),
            "rate": _rate("smoothing rate of the clipped logits"),
        },
        soft=True,
    ),
    "online-smoothing": Method(
        "online label smoothing",
        "Zhang et al. 2021, arXiv 2011.12562",
        {"alpha": Parameter(0.5, 0.0, 1.0, "linear", "share of the label, against its class's soft one", rules.share)},
    ),
    "ce": Method("cross-entropy", "the method of a `trainable` whose study searches no smoothing rate", soft=True),
}


def check_parameters(name: str, parameters: Mapping[str, object]) -> dict[str, float]:
    """Return all parameters of the method `name`, as given or by default. Raises `InputError` for unknown ones."""
    if name not in METHODS:
        raise InputError(f"method: {name!r} is refused: {_known(name, METHODS)}")
    known = METHODS[name].parameters
    values = {key: each.default for key, each in known.items()}
    for key, value in parameters.items():
        if key not in known:
            raise InputError(f"{name}.{key}: unknown; {_known(key, known)}")
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (type(value) is int and abs(value) >= 2**63)
        ):
            raise InputError(f"{name}.{key}: {shown(value)} is refused: a number")
        known[key].rule(f"{name}.{key}", value)
        values[key] = float(value)
    return values


def _known(word: str, words: Mapping[str, object]) -> str:
    """Hint at the name that was meant, or at all known names."""
    if near := get_close_matches(word, words, n=1, cutoff=0.5):
        return f"did you mean {near[0]!r}?"
    return f"one of {', '.join(words)}" if words else "it has none"
