"""Memorisation of wrong labels by a network. `train_accuracy_clean` and `_flipped` follow it over the epochs."""

from torch import Tensor


def memorisation(predicted: Tensor, given: Tensor, clean: Tensor) -> dict[str, float | None]:
    """Shares of training examples, in percent, by what is `predicted` [n], the `given` label [n] and the `clean` one.

    `clean_accuracy`: of the examples whose given label is the clean one, predicted as such. Of the others, the flipped
    ones: `memorised`, predicted as the wrong label says; `corrected`, as the clean one; `other`, as neither. The last
    three add up to 100. None where there is no such example. The shares that Liu et al. 2020 (arXiv 2007.00151) follow.
    """
    flipped = given != clean
    as_given, as_clean = predicted == given, predicted == clean
    return {
        "clean_accuracy": _percent(as_clean, ~flipped),
        "memorised": _percent(as_given, flipped),
        "corrected": _percent(as_clean, flipped),
        "other": _percent(~as_given & ~as_clean, flipped),
    }


def _percent(counted: Tensor, among: Tensor) -> float | None:
    """Share of `counted` [n] `among` [n], in percent."""
    size = int(among.sum())
    return 100 * int((counted & among).sum()) / size if size else None
