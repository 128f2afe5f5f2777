"""Answer of a row in one sentence that can be said to somebody else, made from the row alone."""

from typing import Literal

from tosmooth.search.report.row import Row
from tosmooth.search.spec.parameters import BASELINE_METHOD

Verdict = Literal["smooth", "cross-entropy", "undecided", "unconfirmed", "uncompared", "unreliable", "none"]


def answer(row: Row) -> str:
    """Say in one sentence what to train with at a level, such as "symmetric-0.3: train with r = -2.16: +7.9 points"."""
    name = row.noise if row.method == BASELINE_METHOD else f"{row.noise}, {row.method}"
    return f"{name}: {advice(row)}"


def advice(row: Row) -> str:
    """Say what to train with, and what that gains, without the level's name."""
    match row.verdict:
        case "none":
            return "nothing can be said: no trial completed"
        case "unreliable":
            return "nothing here is reliable: the network hardly learns"
        case "unconfirmed":
            return f"not confirmed yet: {chosen_in_words(row)} did best in the search"
        case "uncompared":
            score = "" if row.score is None else f"{row.score:.2f} % {row.chosen_by.words} on the {_place(row)}, "
            return f"train with {chosen_in_words(row)}: {score}with no cross-entropy to compare with"
        case "cross-entropy" if row.gain_over_ce is None:
            return f"train with plain cross-entropy: no smoothing did better on the validation{_alike(row)}"
        case "cross-entropy":
            return f"train with plain cross-entropy: {chosen_in_words(row)} does worse, {gain(row)}"
        case "smooth":
            sign = "; the sign of the best rate is undecided" if holds_zero(row) else ""
            return f"train with {chosen_in_words(row)}: {gain(row)}{sign}"
        case "undecided" if row.gain_low is None:
            seeds = f"{row.seeds} fresh seed{'' if row.seeds == 1 else 's'}"
            return f"how sure it is cannot be said: {chosen_in_words(row)} was chosen, {gain(row)} on {seeds}"
    found = f"stay with cross-entropy: what {chosen_in_words(row)} gains is within chance, {gain(row)}"
    return f"{found}{_alike(row)}"


def verdict_of(row: Row, hardly_learns: bool, compared: bool) -> Verdict:
    """Judge a row by its numbers. `compared`: cross-entropy is trained beside what was chosen."""
    if row.best_rate is None and not row.best_parameters and row.best_warmup is None:
        return "none"
    if hardly_learns:
        return "unreliable"
    if not row.seeds:
        return "unconfirmed"
    if row.method == BASELINE_METHOD and row.best_rate == 0:
        return "cross-entropy"
    if row.gain_over_ce is None:
        return "unconfirmed" if compared else "uncompared"
    if row.gain_low is None or row.gain_high is None or row.gain_low <= 0 <= row.gain_high:
        return "undecided"
    return "smooth" if row.gain_low > 0 else "cross-entropy"


def holds_zero(row: Row) -> bool:
    """True if the interval of the best rate holds 0: its sign is undecided."""
    return row.rate_low is not None and row.rate_high is not None and row.rate_low <= 0 <= row.rate_high


def gain(row: Row) -> str:
    """Tell the gain over cross-entropy with its interval: "+7.9 points (7.3 to 8.5)"."""
    told = row.gain_over_ce or 0.0  # whoever asks knows that there is one
    digits = 1 if abs(told) >= 1 else 2
    interval = ""
    if row.gain_low is not None and row.gain_high is not None:
        interval = f" ({row.gain_low:z.{digits}f} to {row.gain_high:z.{digits}f})"
    metric = "" if row.metric == "accuracy" else f"of {row.chosen_by.words}"
    of = " ".join(filter(None, ["points", metric, "" if tested(row) else "on the validation"]))
    return f"{told:+z.{digits}f} {of}{interval}"


def tested(row: Row) -> bool:
    """True if accuracies and gain are of a clean test set."""
    return row.test_accuracy is not None


def rate_in_words(rate: float) -> str:
    """Smoothing rate with as many digits as one tries again: "-2.16", "0.038"."""
    return f"{rate:z.2f}".rstrip("0").rstrip(".") if abs(rate) >= 0.1 else f"{rate:.2g}"


def chosen_in_words(row: Row) -> str:
    parts = [] if row.best_rate is None else [f"r = {rate_in_words(row.best_rate)}"]
    parts += [row.best_parameters] if row.best_parameters else []
    if row.method != BASELINE_METHOD:
        parts = [f"{row.method} ({', '.join(parts)})" if parts else row.method]
    elif row.best_rate is not None and row.best_parameters:
        parts = [f"{parts[0]} ({parts[1]})"]
    epochs = "1 epoch" if row.best_warmup == 1 else f"{row.best_warmup} epochs"
    return "".join(parts) + (f" after {epochs} of cross-entropy" if row.best_warmup else "")


def _alike(row: Row) -> str:
    told = holds_zero(row) and row.rate_low != row.rate_high
    return f"; rates from {row.rate_low:.2g} to {row.rate_high:.2g} cannot be told apart" if told else ""


def _place(row: Row) -> str:
    return "clean test set" if tested(row) else "validation"
