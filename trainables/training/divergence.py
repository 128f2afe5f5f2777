"""Rules for when a trial has diverged, losses that are not finite or a network at chance level, and for when it is
unbounded: its logits have run away, so that its probabilities say nothing, whatever its accuracy.
"""

import math

UNBOUNDED = 1e3  # mean |logit| from which logits have run away: a trained network's are below 30 or so
BY_RULE = "(selection.bounded)"  # so ends the reason of a trial that diverged by that rule alone
CHANCE_EPOCHS = 3  # at chance level for so many epochs, a trial has diverged


class Divergence:
    """Watcher of one trial on a number of classes. `bounded`: one whose logits run away has diverged, too."""

    def __init__(self, classes: int, bounded: bool = False) -> None:
        self.bounded = bounded
        chance = 1 / classes
        # A fifth above chance, but at most 2 points: with two classes and 40 % noise a good network gets 60 % right.
        self.limit = 100 * (chance + min(0.2 * chance, 0.02))  # percent
        self.at_chance = 0  # epochs, the last of which is the latest

    def after(
        self,
        epoch: int,
        loss: float,
        accuracy: float,
        val_loss: float | None,
        weighted: float | None = None,
        mean_abs_logit: float | None = None,
    ) -> str | None:
        """Reason why the trial has diverged, or `None`, by an epoch's training loss, accuracy and validation loss.

        `weighted`: the accuracy by the weights of the classes, where they have any. Whoever is above chance by either
        has learnt something: to find a rare class costs accuracy, and of noisy rare labels few are to be found.
        """
        # The last step of an epoch may ruin the weights: then only the evaluation shows it.
        for name, value in (("train_loss", loss), ("val_loss", val_loss)):
            if value is not None and not math.isfinite(value):
                return f"{name} is {value} at epoch {epoch}"
        if self.bounded and mean_abs_logit is not None and mean_abs_logit > UNBOUNDED:
            return f"mean |logit| is {mean_abs_logit:.3g} at epoch {epoch}, above {UNBOUNDED:g} {BY_RULE}"
        highest = accuracy if weighted is None else max(accuracy, weighted)
        self.at_chance = self.at_chance + 1 if highest <= self.limit else 0
        if self.at_chance < CHANCE_EPOCHS:
            return None
        where = f"at epoch {epoch}, at most {self.limit:.2f} % for {CHANCE_EPOCHS} epochs"
        too = "" if weighted is None else f" ({weighted:.2f} % by the weights of the classes)"
        return f"train_accuracy is {accuracy:.2f} %{too} {where}"
