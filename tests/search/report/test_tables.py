"""Every format is read back, with what a row may hold at worst: nothing, and text that would break the format."""

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from tosmooth.search.records import Record
from tosmooth.search.report.row import COLUMNS, Row
from tosmooth.search.report.tables import FORMATS, render, render_trials, short_columns
from tosmooth.search.report.terminal import terminal_table
from tosmooth.trainables.errors import InputError

# In this order: other programs read these files.
NAMES = [
    *("dataset", "noise", "method", "noise_rate", "noise_rate_source", "noise_rate_estimate", "best_rate", "rate_low"),
    *("rate_high", "best_warmup", "best_parameters", "val_accuracy", "test_accuracy", "test_accuracy_std", "seeds"),
    *("ce_test_accuracy", "ls_test_accuracy", "ce_val_accuracy", "ls_val_accuracy"),
    *("test_balanced_accuracy", "test_macro_f1", "metric", "score", "score_std", "ce_score", "ls_score"),
    *("gain_over_ce", "gain_low", "gain_high", "verdict", "p_beats_ce", "p_beats_ls"),
    *("runner_up_rate", "runner_up_behind", "p_runner_up", "expected_loss"),
    *(
        "mean_abs_logit",
        "best_epoch_test_accuracy",
        "oracle_rate",
        "oracle_test_accuracy",
        "theory_rate",
        "trials",
        "pruned",
    ),
    *("diverged", "failed", "epochs", "epochs_spared", "hours", "note"),
]

NOTHING = {"best_parameters", "noise_rate_estimate", "rate_low", "rate_high", "p_beats_ce", "p_beats_ls"}
NOTHING |= {"ce_val_accuracy", "ls_val_accuracy", "mean_abs_logit"}
NOTHING |= {"test_balanced_accuracy", "test_macro_f1", "score", "score_std", "ce_score", "ls_score"}
NOTHING |= {
    "runner_up_rate",
    "runner_up_behind",
    "p_runner_up",
    "expected_loss",
}  # columns in which the row below has nothing

WORST = Row(
    dataset="cifar10n",
    noise="worst",
    method="gls",
    noise_rate=0.40208,
    noise_rate_source="measured",
    best_rate=-0.43512,
    best_warmup=4,
    val_accuracy=41.125,
    test_accuracy=65.18765,
    test_accuracy_std=0.4,
    seeds=5,
    ce_test_accuracy=63.8,
    ls_test_accuracy=62.9,
    gain_over_ce=1.38765,
    gain_low=-0.25,
    gain_high=3.0253,
    verdict="undecided",
    best_epoch_test_accuracy=65.5,
    oracle_rate=-0.0004,
    oracle_test_accuracy=66.0,
    theory_rate=-0.8071,
    trials=40,
    pruned=10,
    diverged=2,
    failed=0,
    epochs=446,
    hours=1.23456,
    note="theory assumes symmetric noise; gain over CE is within seed noise",
)
UNKNOWN = Row(
    dataset="mine",
    noise="given",
    method="gls",
    noise_rate=None,
    noise_rate_source="",
    best_rate=None,
    best_warmup=None,
    val_accuracy=None,
    test_accuracy=None,
    test_accuracy_std=None,
    seeds=0,
    ce_test_accuracy=None,
    ls_test_accuracy=None,
    gain_over_ce=None,
    gain_low=None,
    gain_high=None,
    verdict="none",
    best_epoch_test_accuracy=None,
    oracle_rate=None,
    oracle_test_accuracy=None,
    theory_rate=None,
    trials=0,
    pruned=0,
    diverged=0,
    failed=0,
    epochs=0,
    hours=0.0,
)
TRIAL = Record(
    study="demo",
    level="cifar10n/worst",
    method="gls",
    phase="search",
    number=2,
    state="diverged",
    params={"rate": -6.0, "warmup": 3, "lr_after_warmup": 0.1},
    train_seed=17,
    curve=(
        {"train_accuracy": 20.0, "val_accuracy": 30.0, "test_accuracy": 60.0, "spared": 1.0},
        {"train_accuracy": 21.0, "val_accuracy": 40.0, "test_accuracy": 50.0},
        {"train_accuracy": 10.0, "val_accuracy": 10.0, "test_accuracy": 10.5},
    ),
    seconds=12.5,
    reason='loss is nan in epoch 4, "worst"',
)
LOST = Record(
    study="demo",
    level="cifar10n/worst",
    method="gls",
    phase="search",
    number=3,
    state="failed",
    params={"rate": 0.4, "warmup": 0, "training.batch_size": 64},
    train_seed=18,
)


def text(content: str | bytes) -> str:
    assert isinstance(content, str)
    return content


def parquet(content: str | bytes) -> pa.Table:
    assert isinstance(content, bytes)
    return pq.read_table(io.BytesIO(content))


def cells(line: str) -> list[str]:
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_columns_are_those_of_the_issue_in_its_order() -> None:
    assert list(COLUMNS) == NAMES


def test_csv_has_every_column_full_precision_and_empty_cells_for_the_unknown() -> None:
    header, worst, unknown = csv.reader(io.StringIO(text(render([WORST, UNKNOWN], "csv"))))
    assert header == NAMES
    row = dict(zip(header, worst, strict=True))
    assert (row["test_accuracy"], row["best_rate"], row["best_warmup"], row["rate_low"]) == (
        "65.18765",
        "-0.43512",
        "4",
        "",
    )
    assert row["note"] == WORST.note
    row = dict(zip(header, unknown, strict=True))
    assert (row["best_rate"], row["noise_rate"], row["trials"], row["note"]) == ("", "", "0", "")


def test_text_files_have_no_digits_of_floating_point_but_all_of_a_hyperparameter() -> None:
    rate = -0.09988612345678901
    row = replace(WORST, test_accuracy=97.89200000000001, gain_over_ce=0.1 + 0.2, best_rate=rate, hours=1 / 3)
    (found,) = json.loads(text(render([row], "json")))
    assert (found["test_accuracy"], found["gain_over_ce"], found["hours"]) == (97.892, 0.3, 0.33333333)
    assert found["best_rate"] == rate
    assert "97.892," in text(render([row], "csv"))
    assert str(rate) in text(render([row], "csv"))
    trial = replace(TRIAL, params={"rate": rate, "warmup": 3, "gls.ramp": rate}, seconds=0.1 + 0.2)
    (found,) = json.loads(text(render_trials([trial], "json")))
    assert (found["rate"], found["gls.ramp"], found["seconds"]) == (rate, rate, 0.3)
    assert parquet(render([row], "parquet"))["test_accuracy"].to_pylist() == [97.89200000000001]


def test_json_has_null_for_the_unknown_and_never_nan() -> None:
    rows = json.loads(text(render([WORST, UNKNOWN, replace(WORST, test_accuracy_std=math.nan)], "json")))
    assert [list(row) for row in rows] == [NAMES] * 3
    assert (rows[0]["test_accuracy"], rows[0]["seeds"], rows[0]["rate_low"]) == (65.18765, 5, None)
    assert rows[1]["best_rate"] is None
    assert rows[2]["test_accuracy_std"] is None
    assert "NaN" not in text(render([replace(WORST, gain_low=-math.inf)], "json"))


def test_parquet_has_the_same_types_whether_a_column_holds_something_or_not() -> None:
    full, empty = parquet(render([WORST], "parquet")), parquet(render([UNKNOWN], "parquet"))
    assert full.column_names == NAMES
    assert full.schema.types == empty.schema.types == parquet(render([], "parquet")).schema.types
    assert full.schema.field("p_beats_ce").type == pa.float64()
    assert full.schema.field("best_warmup").type == pa.int64()
    assert full["test_accuracy"].to_pylist() == [65.18765]
    assert empty["best_warmup"].to_pylist() == [None]


def test_markdown_is_rounded_and_drops_columns_that_hold_nothing() -> None:
    header, rule, worst = text(render([WORST], "markdown", "all")).splitlines()
    row = dict(zip(cells(header), cells(worst), strict=True))
    assert set(NAMES) - set(row) == NOTHING
    assert (row["test_accuracy"], row["gain_low"], row["hours"]) == ("65.19", "-0.25", "1.23")  # two decimals
    assert (row["best_rate"], row["oracle_rate"], row["noise_rate"]) == ("-0.435", "-0.0004", "0.402")  # 3 significant
    assert cells(rule)[:4] == [":---", ":---", ":---", "---:"]


def test_short_columns_are_those_that_the_terminal_shows() -> None:
    short = ["noise", "noise_rate", "best_rate", "rate_low", "rate_high", "best_warmup", "test_accuracy"]
    short += ["test_accuracy_std", "ce_test_accuracy", "ls_test_accuracy", "gain_over_ce", "gain_low", "gain_high"]
    assert text(render([WORST], "csv", "short")).splitlines()[0].split(",") == [*short, "theory_rate", "note"]
    assert list(json.loads(text(render([WORST], "json")))[0]) == NAMES
    for kind in ("markdown", "latex"):
        assert render([WORST], kind) == render([WORST], kind, "short") != render([WORST], kind, "all")
    untested = replace(WORST, test_accuracy=None, test_accuracy_std=None)
    assert {"val_accuracy", "dataset"} - set(short_columns([untested])) == {"dataset"}
    others = short_columns([WORST, replace(WORST, dataset="b", method="gce", best_parameters="gce.q=0.7")])
    assert {"dataset", "method", "best_parameters"} <= set(others)
    assert "theory_rate" not in others


def test_markdown_keeps_a_bar_in_a_note_inside_its_cell() -> None:
    line = text(render([replace(WORST, note="a|b")], "markdown")).splitlines()[2]
    assert line.endswith(r"| a\|b |")


def test_latex_is_a_booktabs_table_with_escaped_text_and_real_minus_signs() -> None:
    table = text(render([replace(WORST, noise="a_b & 50%", note=r"x#{y}~^\$")], "latex", "all"))
    assert r"\toprule" in table
    assert r"\midrule" in table
    assert r"\bottomrule" in table
    assert r"best\_rate" in table
    assert r"a\_b \& 50\%" in table
    assert r"x\#\{y\}\textasciitilde{}\textasciicircum{}\textbackslash{}\$" in table
    assert "& $-0.435$ &" in table
    columns = len(NAMES) - len(NOTHING)
    rows = [line for line in table.splitlines() if line.endswith(r"\\")]
    assert [line.replace(r"\&", "").count("&") for line in rows] == [columns - 1] * 2


def test_an_estimated_noise_rate_is_marked_on_the_terminal_and_a_measured_one_is_not() -> None:
    def first(row: Row) -> str:
        table = terminal_table([row])
        return str(next(iter(table.columns[1].cells)))

    assert first(WORST) == "0.402"
    assert first(replace(WORST, noise_rate_source="estimated")) == "~0.402"


def test_no_rows_give_a_header_alone() -> None:
    assert text(render([], "csv")) == ",".join(NAMES) + "\n"
    assert json.loads(text(render([], "json"))) == []
    assert len(text(render([], "markdown")).splitlines()) == 2
    assert parquet(render_trials([], "parquet")).num_rows == 0


def test_an_unknown_format_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="--format: 'xls' is refused: one of csv, markdown, latex, parquet, json"):
        render([WORST], "xls")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_renders_trials_too(format: str) -> None:
    assert len(render_trials([TRIAL, LOST], format)) > 300


def test_a_trial_is_a_flat_row_with_a_column_for_every_searched_parameter() -> None:
    table = parquet(render_trials([TRIAL, LOST], "parquet"))
    assert table.column_names[8:13] == ["rate", "warmup", "lr_after_warmup", "training.batch_size", "train_seed"]
    assert table.to_pylist()[0] == {
        "study": "demo",
        "dataset": "cifar10n",
        "noise": "worst",
        "method": "gls",
        "trained_as": "gls",
        "phase": "search",
        "number": 2,
        "state": "diverged",
        "rate": -6.0,
        "warmup": 3,
        "lr_after_warmup": 0.1,
        "training.batch_size": None,
        "train_seed": 17,
        "epochs": 2,
        "epochs_spared": 1,  # of the 3 it reported
        "seconds": 12.5,
        "train_accuracy": 10.0,
        "val_accuracy": 10.0,  # of the last epoch
        "test_accuracy": 10.5,
        **dict.fromkeys(("val_balanced_accuracy", "val_macro_f1", "test_balanced_accuracy", "test_macro_f1")),
        "best_epoch": 2,  # where noisy validation is highest, 40
        "best_epoch_val_accuracy": 40.0,
        "best_epoch_test_accuracy": 50.0,
        "oracle_test_accuracy": 60.0,  # the first epoch's, seen only with clean labels
        "attempts": 1,
        "reason": 'loss is nan in epoch 4, "worst"',
    }
    lost = table.to_pylist()[1]
    assert (lost["epochs"], lost["val_accuracy"], lost["best_epoch"]) == (0, None, None)
    assert lost["training.batch_size"] == 64


def test_searched_parameters_keep_the_narrowest_type_that_holds_them_all() -> None:
    def kind(*values: object) -> pa.DataType:
        trials = [replace(LOST, params={"rate": 0.0, "x": value}) for value in values]
        return parquet(render_trials(trials, "parquet")).schema.field("x").type

    assert kind(True, False) == pa.bool_()
    assert kind(1, None) == pa.int64()
    assert kind(1, 0.5) == pa.float64()
    assert kind("none", 1) == pa.string()
    assert kind([30, 60]) == pa.string()  # as JSON
    assert kind(None) == pa.string()


def shown(rows: list[Row], width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(terminal_table(rows, width))
    return console.export_text().splitlines()


def test_methods_stand_below_their_level_with_what_they_share_said_once_and_uncut() -> None:
    other = replace(
        WORST, method="confidence-penalty", best_rate=None, rate_low=None, rate_high=None, gain_over_ce=14.1
    )
    other = replace(
        other, best_parameters="confidence-penalty.beta=0.0976123, logit-norm.temperature=0.387", note="one"
    )
    lines = shown([replace(WORST, noise="symmetric-0.4"), replace(other, noise="symmetric-0.4")], 80)
    assert "…" not in "\n".join(lines)
    (level,) = [i for i, line in enumerate(lines) if "symmetric-0.4 (0.402)" in line]
    assert lines[level].split()[2:] == ["63.80", "62.90"]
    assert lines[level + 1].startswith("  gls")
    (place,) = [i for i, line in enumerate(lines) if line.startswith("  confidence-penalty")]
    assert "beta=0.0976" in lines[place]
    assert "temperature=0.387" in lines[place + 1]
    assert "one: symmetric-0.4/confidence-penalty" in lines[-1]


def test_a_narrow_terminal_shows_each_number_on_a_line_of_its_own() -> None:
    lines = shown([WORST, replace(WORST, noise="aggre", best_rate=None, best_warmup=None)], 60)
    assert [line.rstrip() for line in lines[1:9]] == [
        "worst",
        "  noise rate          0.402",
        "  best rate (95 %)    -0.44",
        "  warm-up             4",
        "  test acc.           65.19 ±0.40",
        "  CE                  63.80",
        "  LS                  62.90",
        "  gain over CE (95 %) +1.39 [-0.25, 3.03]",
    ]
    start = next(i for i, line in enumerate(lines) if line.startswith("aggre"))
    assert lines[start + 2].split()[0] == "test", "what is unknown has no line"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_terminal_shows_every_number_uncut(width: int) -> None:
    screen = "\n".join(
        shown(
            [
                replace(
                    WORST,
                    noise="symmetric-0.4",
                    rate_low=-0.874,
                    rate_high=-0.226,
                    gain_over_ce=14.12,
                    gain_low=13.29,
                    gain_high=14.96,
                )
            ],
            width,
        )
    )
    assert "…" not in screen
    for part in (
        "symmetric-0.4",
        "0.402",
        "-0.44",
        "[-0.87, -0.23]",
        "65.19",
        "±0.40",
        "63.80",
        "62.90",
        "+14.12",
        "[13.29, 14.96]",
        "-0.81",
    ):
        assert part in screen


def test_an_interval_that_ends_close_to_0_leaves_the_other_columns_their_room() -> None:
    row = replace(WORST, noise="symmetric-0.4", rate_low=-1.58, rate_high=-0.0026, gain_low=15.94, gain_high=17.87)
    screen = "\n".join(shown([row], 80))
    assert "…" not in screen
    assert "[-1.6, -0.003]" in screen


def test_a_wide_terminal_shows_a_row_in_one_line() -> None:
    (line,) = [line for line in shown([WORST], 120) if line.startswith("worst ")]
    parts = "worst 0.402 -0.44 4 65.19 ±0.40 63.80 62.90 +1.39 [-0.25, 3.03] -0.81"
    assert line.split() == parts.split()


def test_the_notes_stand_below_the_table_each_once_with_its_levels() -> None:
    screen = shown([WORST, replace(WORST, noise="aggre", note="theory assumes symmetric noise")], 120)
    assert [line.strip() for line in screen[-2:]] == [
        "theory assumes symmetric noise: worst, aggre",
        "gain over CE is within seed noise: worst",
    ]


def test_levels_of_several_datasets_are_told_apart_and_the_unknown_is_blank() -> None:
    screen = shown([WORST, UNKNOWN], 120)
    assert any(line.startswith("cifar10n/worst ") for line in screen)
    (line,) = [line for line in screen if line.startswith("mine/given ")]
    assert line.split() == ["mine/given"]


def test_a_rate_near_zero_is_not_shown_as_zero() -> None:
    (line,) = [line for line in shown([replace(WORST, best_rate=-0.0042)], 120) if line.startswith("worst ")]
    assert line.split()[2] == "-0.004"


def test_rows_chosen_by_another_metric_show_their_scores_in_place_of_accuracies() -> None:
    scores: dict[str, Any] = {"score": 71.5, "score_std": 0.3, "ce_score": 60.0, "ls_score": 61.0}
    row = replace(WORST, metric="balanced_accuracy", note="", **scores)
    shown = short_columns([row])
    assert [name for name in shown if "acc" in name] == []
    assert [name for name in shown if name in scores or name == "metric"] == ["metric", *scores]
    assert [name for name in short_columns([WORST]) if name in (*scores, "metric")] == []
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_table([row], 100))
    text = console.export_text()
    assert "bal." in text
    assert "71.50" in text
    assert "65.19" not in text
    both = Console(width=100, record=True, file=io.StringIO())
    both.print(terminal_table([row, replace(row, noise="other", metric="macro_f1")], 100))
    assert "score" in both.export_text()
