"""One row of the best-rate table. Its fields, with what annotates them, declare the table's columns."""

from dataclasses import dataclass
from typing import Annotated, cast

from tosmooth.search.columns import Column, columns_of
from tosmooth.search.records import Measure, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the best-rate table; `None`: unknown. Means, from `val_accuracy` on, are over the fresh seeds."""

    dataset: Annotated[str, Column("name of the dataset")]
    noise: Annotated[str, Column("noise level", heading="noise")]
    method: Annotated[str, Column("training method")]
    noise_rate: Annotated[
        float | None,
        Column(
            "share of wrong training labels: measured against clean ones, or where there are none estimated",
            unit="0 to 1",
            heading="noise\nrate",
        ),
    ]
    noise_rate_source: Annotated[str, Column("`measured`, `estimated`, or empty where it is unknown")]
    noise_rate_estimate: Annotated[
        float | None,
        Column(
            "the same share estimated from the noisy labels alone (cleanlab's confident learning on what cross-entropy "
            "predicts for the noisy validation), also where it is measured; too high where the network is weak",
            unit="0 to 1",
        ),
    ] = None
    best_rate: Annotated[
        float | None,
        Column(
            "smoothing rate chosen by **noisy validation**, which is what you really have; the clean test set chooses "
            "nothing. Empty for a method without a rate",
            heading="best rate\n(95 %)",
            exact=True,
        ),
    ]
    rate_low: Annotated[
        float | None,
        Column(
            "lower end of the 95 % interval of the best rate, by noisy validation; where it holds 0, the sign of the "
            "best rate is undecided"
        ),
    ] = None
    rate_high: Annotated[float | None, Column("upper end of that interval")] = None
    best_warmup: Annotated[
        int | None,
        Column("warm-up chosen with the rate: trained by cross-entropy", unit="epochs", heading="warm-\nup"),
    ]
    best_parameters: Annotated[
        str, Column("what else was chosen: a method's own parameters, and what else of the recipe was searched")
    ] = ""
    val_accuracy: Annotated[
        float | None,
        Column(
            "accuracy of the chosen parameters on the noisy validation at the last epoch: mean over `seeds` fresh "
            "training seeds",
            unit="%",
            decimals=2,
            heading="noisy\nval.",
        ),
    ]
    test_accuracy: Annotated[
        float | None,
        Column("accuracy of the same runs on the clean test set", unit="%", decimals=2, heading="test\nacc."),
    ]
    test_accuracy_std: Annotated[
        float | None, Column("its spread: sample standard deviation over the seeds", unit="points", decimals=2)
    ]
    seeds: Annotated[int, Column("fresh seeds on which the chosen parameters ended so far")]
    ce_test_accuracy: Annotated[
        float | None,
        Column("cross-entropy's accuracy on the clean test set, same seeds", unit="%", decimals=2, heading="CE"),
    ]
    ls_test_accuracy: Annotated[
        float | None,
        Column("that of label smoothing (r = 0.1), same seeds", unit="%", decimals=2, heading="LS"),
    ]
    ce_val_accuracy: Annotated[
        float | None,
        Column("cross-entropy's accuracy on the noisy validation", unit="%", decimals=2, heading="CE\nval."),
    ] = None
    ls_val_accuracy: Annotated[
        float | None, Column("that of label smoothing", unit="%", decimals=2, heading="LS\nval.")
    ] = None
    test_balanced_accuracy: Annotated[
        float | None,
        Column("of the chosen runs: mean accuracy of the classes of the clean test set", unit="%", decimals=2),
    ] = None
    test_macro_f1: Annotated[
        float | None, Column("of the chosen runs: mean F1 of the classes, likewise", unit="%", decimals=2)
    ] = None
    metric: Annotated[
        str, Column("what the choice and the gain are by: `accuracy`, `balanced_accuracy`, `macro_f1` (`selection`)")
    ] = "accuracy"
    score: Annotated[
        float | None,
        Column(
            "that metric of the chosen runs on the clean test set (where there is none: on the noisy validation)",
            unit="%",
            decimals=2,
            heading="score",
        ),
    ] = None
    score_std: Annotated[float | None, Column("its spread over the seeds", unit="points", decimals=2)] = None
    ce_score: Annotated[float | None, Column("that of cross-entropy", unit="%", decimals=2, heading="CE")] = None
    ls_score: Annotated[float | None, Column("that of label smoothing", unit="%", decimals=2, heading="LS")] = None
    gain_over_ce: Annotated[
        float | None,
        Column(
            "difference of the scores to cross-entropy, paired over the seeds that both have; empty where "
            "cross-entropy is the best",
            unit="points",
            decimals=2,
            heading="gain over CE\n(95 %)",
        ),
    ]
    gain_low: Annotated[
        float | None,
        Column("lower end of the gain's paired 95 % interval (t), from 3 seeds on", unit="points", decimals=2),
    ]
    gain_high: Annotated[float | None, Column("upper end of that interval", unit="points", decimals=2)]
    verdict: Annotated[
        str,
        Column(
            "what the row comes to: `smooth` (it gains, the interval is above 0), `cross-entropy` (nothing does "
            "better), `undecided` (the gain is within chance, or has no interval), `unconfirmed` (on no fresh seeds "
            "yet), `uncompared` (no cross-entropy beside it), `unreliable` (the network hardly learns), `none` (no "
            "trial completed)"
        ),
    ] = ""
    p_beats_ce: Annotated[
        float | None,
        Column("probability that the best rate is truly better than cross-entropy, by noisy validation", unit="0 to 1"),
    ] = None
    p_beats_ls: Annotated[
        float | None, Column("probability that it is truly better than label smoothing", unit="0 to 1")
    ] = None
    runner_up_rate: Annotated[
        float | None,
        Column(
            "the best rate that was tried far from it, a quarter of the searched range or more: another hill, if there "
            "is one",
            exact=True,
        ),
    ] = None
    runner_up_behind: Annotated[
        float | None, Column("how far that lies behind, by the search's model of the noisy validation", unit="points")
    ] = None
    p_runner_up: Annotated[float | None, Column("probability that it is truly better", unit="0 to 1")] = None
    expected_loss: Annotated[
        float | None,
        Column(
            "how far the choice is expected to fall short of the truly best, by that model; where it is above 0.1 "
            "(`search.stop_when.accuracy_margin`) the note says whether more trials would help, and how many",
            unit="points",
        ),
    ] = None
    mean_abs_logit: Annotated[
        float | None,
        Column(
            "mean of |logit| of the chosen runs on the noisy validation; above 1000 the loss has run away: "
            "probabilities say nothing then, the accuracy does (`selection.bounded` chooses among other trials)"
        ),
    ] = None
    best_epoch_test_accuracy: Annotated[
        float | None,
        Column(
            "accuracy of the same runs on the clean test set, each at its epoch of highest noisy validation; empty "
            "where `training.test_every` left such an epoch out",
            unit="%",
            decimals=2,
        ),
    ]
    oracle_rate: Annotated[
        float | None,
        Column(
            "rate of the trial with the highest clean-test accuracy of any trial at any epoch that was tested: how "
            "papers often report, not what you would get",
            exact=True,
        ),
    ]
    oracle_test_accuracy: Annotated[float | None, Column("that accuracy", unit="%", decimals=2)]
    theory_rate: Annotated[
        float | None,
        Column(
            "the rate that undoes symmetric noise of this strength, `-rho / (1 - rho)` with `rho = e K / (K - 1)`; for "
            "the method `gls`; empty beyond the rates searched, or where the noise rate is not to be trusted",
            heading="theory",
        ),
    ]
    trials: Annotated[int, Column("trials of the search that ended: complete, pruned or diverged")]
    pruned: Annotated[int, Column("those that were stopped early")]
    diverged: Annotated[int, Column("those that diverged, which is a result")]
    failed: Annotated[int, Column("trials of the search that failed")]
    epochs: Annotated[int, Column("trained in search and confirmation", unit="epochs")]
    epochs_spared: Annotated[int, Column("taken from a shared warm-up instead", unit="epochs")] = 0
    hours: Annotated[float, Column("spent training", unit="h", decimals=2)]
    note: Annotated[str, Column("what you must know before you quote the row, most important first", wraps=True)] = ""

    @property
    def chosen_by(self) -> Score:
        """What the choice and the gain are by, at the last epoch."""
        return Score(cast(Measure, self.metric))

    @property
    def completed(self) -> int:
        """Trials of the search that ran to their end."""
        return self.trials - self.pruned - self.diverged


COLUMNS = columns_of(Row)  # by name, in the order of the table
