"""The studies that come with the package: each loads, and opens with what a reader asks first."""

import dataclasses
import re
from importlib.resources import files

import bench_sharing
import bench_speedrun
import pytest

from tests.search.tools import gls
from tosmooth.search.spec.loading import load_study, read_study, shipped_studies, to_yaml
from tosmooth.trainables.training.schedule import learning_rate

PARTS = ("Question", "Command", "Cost", "Expect")


def header(name: str) -> dict[str, str]:
    """The parts of the comment that opens a study: `# Cost: ...`, over as many lines as it takes."""
    parts: dict[str, str] = {}
    part = ""
    for line in files("studies").joinpath(f"{name}.yaml").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        found = re.match(r"# (\w+): +(.*)", line)
        part = found[1] if found else part
        parts[part] = found[2] if found else f"{parts[part]} {line.lstrip('# ')}"
    return parts


def test_the_studies_are_those_of_the_readme() -> None:
    assert shipped_studies() == [
        *("cifar10-symmetric", "cifar100n", "cifar100n-features", "cifar10n", "cifar10n-cpu", "cifar10n-fast"),
        *("cifar10n-features", "cifar10n-features-methods", "cifar10n-features-mlp", "cifar10n-features-noise"),
        *("cifar10n-methods", "cifar10n-methods-cpu", "cifar10n-small", "digits", "paper-cifarn"),
        *("paper-uci-breast-cancer", "paper-uci-ringnorm", "paper-uci-twonorm", "paper-uci-waveform"),
        *("twonorm", "twonorm-methods"),
    ]


@pytest.mark.parametrize("name", shipped_studies())
def test_study_goes_by_the_name_of_its_file_and_survives_a_round_trip(name: str) -> None:
    spec = load_study(name)
    assert spec.name == name
    assert read_study(to_yaml(spec)) == spec


@pytest.mark.parametrize("name", shipped_studies())
def test_study_opens_with_question_command_cost_and_result(name: str) -> None:
    spec, parts = load_study(name), header(name)
    assert tuple(parts) == PARTS
    assert parts["Question"] == spec.question  # `tosmooth studies` shows the same
    assert parts["Cost"] == spec.cost
    assert parts["Command"].startswith(f"tosmooth run {name}")
    assert parts["Expect"]


def test_twonorm_is_split_as_the_paper_needs_it() -> None:
    data = load_study("twonorm").dataset
    assert data.noise == ("clean", "symmetric-0.1", "symmetric-0.2", "symmetric-0.3", "symmetric-0.4")
    assert data.size is not None
    assert data.size * (1 - data.validation_fraction) == pytest.approx(5000)
    assert data.test_size == 10_000


def test_human_noise_has_all_its_levels() -> None:
    assert load_study("cifar10n").dataset.noise == ("clean", "aggre", "random1", "random2", "random3", "worst")
    assert load_study("cifar100n").dataset.noise == ("clean", "noisy")


def test_symmetric_noise_is_studied_by_the_papers_protocol() -> None:
    spec = load_study("cifar10-symmetric")
    assert spec.training.recipe == "two-phase"
    # Cross-entropy too is continued at 1e-6 after 120 epochs (reference: Wei et al. 2022, section 5).
    assert gls(spec).baselines().ce == {"rate": 0.0, "warmup": 120}
    config = spec.trial_config(spec.cells()[0], {"rate": -4.0, "warmup": 120}, train_seed=0)
    rates = [learning_rate(config, epoch, steps_per_epoch=1) for epoch in (0, 39, 40, 80, 119, 120, 219)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001, 1e-6, 1e-6])


@pytest.mark.parametrize("name", ["cifar10n", "cifar100n", "cifar10n-cpu"])
def test_image_study_searches_the_papers_rates_and_on_a_gpu_the_learning_rate_after_the_warmup(name: str) -> None:
    spec = load_study(name)
    assert gls(spec).rate_bounds == (-8.0, 0.8)
    assert set(spec.space) == {"rate", "warmup"} | ({"lr_after_warmup"} if name != "cifar10n-cpu" else set())


def test_the_small_network_sees_each_picture_again_as_it_was_and_is_tested_after_every_epoch() -> None:
    spec = load_study("cifar10n-small")
    assert (spec.dataset.size, spec.dataset.test_size) == (None, None)
    assert spec.training.augment == "none"
    assert spec.training.test_every == 1  # for all three rules by which an epoch is picked
    arms = spec.confirmation.fewest_finalists + 2
    runs = len(spec.cells()) * (spec.budget + arms * spec.confirmation.most_seeds)
    assert f"{runs} runs of {spec.training.epochs} epochs" in spec.cost


def test_heads_on_features_are_compared_at_the_weight_decay_that_suits_each() -> None:
    studies = {name: load_study(name) for name in shipped_studies() if "-features" in name}
    assert len(studies) == 5
    decay = "training.optimizer.weight_decay"
    for spec in studies.values():
        assert spec.network.mode == "frozen"
        assert decay in spec.space
        method = gls(spec)
        chosen = {"rate": 0.4, "warmup": 3, "lr_after_warmup": 0.5, decay: 0.02}
        assert method.baselines(chosen).ce == {"rate": 0.0, "warmup": 0, "lr_after_warmup": 1.0, decay: 0.02}
    # The studies of CIFAR-10N see the same features of the same examples: their tables compare.
    linear, deeper = (studies[name] for name in ("cifar10n-features", "cifar10n-features-mlp"))
    assert linear.dataset == deeper.dataset
    assert dataclasses.replace(deeper.network, depth=None, width=None) == linear.network


def test_benchmarks_of_a_bare_machine_train_as_the_fast_study_does() -> None:
    spec = load_study("cifar10n-fast")
    assert spec.training == bench_speedrun.RECIPE
    assert spec.network == bench_speedrun.NETWORK
    arms = spec.confirmation.fewest_finalists + 2
    assert len(spec.cells()) * (spec.budget + arms * spec.confirmation.most_seeds) == bench_sharing.TABLE
