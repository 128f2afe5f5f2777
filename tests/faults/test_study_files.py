"""Study files as people and accidents write them: each gives a study that can be run, or says what is wrong and where.

The runs of 2,000 examples each are marked slow; the same checks on a few examples are part of every test run.
"""

import datetime
import io
import os
import re
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from tosmooth.search.report.describe import description, show
from tosmooth.search.spec.loading import load_study, read_study, shipped_studies, to_yaml
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.distributions import distributions, inside
from tosmooth.search.suggest.initial_design import initial_points
from tosmooth.trainables.errors import InputError

TOSMOOTH = Path(sys.executable).with_name("tosmooth")
MANY = pytest.mark.parametrize(
    "examples",
    [40, pytest.param(2000, marks=[pytest.mark.slow, pytest.mark.long, pytest.mark.faults, pytest.mark.timeout(1800)])],
)
SMALL = "name: small\ndataset: {name: twonorm, noise: [clean, symmetric-0.4]}\ntraining: {epochs: 8}\n"
SHIPPED = {name: files("studies").joinpath(f"{name}.yaml").read_text(encoding="utf-8") for name in shipped_studies()}
# A line of a message: the key, or the file and the line in it; then the value or what is wrong, and the rule.
LINE = re.compile(r".+: .+|and \d+ more")
SECTIONS = sorted(StudySpec.model_fields)
LONGEST = 12  # lines of a message
WIDEST = 1500  # characters of one


def fuzz(examples: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Hand `check` so many examples; what it raises is shown with the smallest example that does."""
    quiet = list(HealthCheck)
    settings(max_examples=examples, deadline=None, database=None, suppress_health_check=quiet)(given(strategy)(check))()


def refusal(read: Callable[[], StudySpec], paths: Sequence[str] = ()) -> str:
    """What a study file is refused with, "" where it is none; a study that is read must be fit to run.

    `paths` may stand for "study.yaml" at the start of a message.
    """
    try:
        spec = read()
    except InputError as error:
        message = str(error)
    else:
        check_fit_to_run(spec)
        return ""
    for path in paths:
        message = message.replace(path, "study.yaml")
    lines = message.split("\n")
    assert 1 <= len(lines) <= LONGEST
    for line in lines:
        assert LINE.fullmatch(line), line
        assert len(line) <= WIDEST
        assert line.isprintable()
    # The last but one is where pydantic's own messages lead; a value that is quoted may well be "http".
    for word in ("Traceback (most recent", "pydantic", "https://errors", "alue error"):
        assert word not in message
    return message


def check_fit_to_run(spec: StudySpec) -> None:
    """All that is done with a study before a trial trains: nothing of it may fail, or take memory without bounds."""
    assert read_study(to_yaml(spec)) == spec
    assert spec.meaning()
    assert len(spec.confirmation_seeds()) == spec.confirmation.most_seeds
    for method in spec.method:
        check_method(MethodSpec.of(spec, method))
    screen = io.StringIO()
    show(description(spec, {}), Console(file=screen, markup=False))
    assert spec.name in screen.getvalue()


def check_method(view: MethodSpec) -> None:
    """The same for the cells of one method."""
    assert len(distributions(view)) == len(view.space)
    openers, points = view.openers(), initial_points(view)
    assert points[: len(openers)] == openers
    assert len(points) <= max(view.budget, 3)
    spec, baselines = view.study, [view.baselines().ce, view.baselines().ls]
    cell = next(cell for cell in reversed(spec.cells()) if cell.method == view.method)
    seed = spec.search_seed(cell, 0, first=False, had=())
    for params in (*points[:20], *points[-20:]):
        config = spec.trial_config(cell, params, seed)
        assert (view.method == "gls" and params in baselines) or inside(view, params)
        assert (config.rate, config.method) == (params.get("rate", 0.0), cell.method)
    for params in baselines:
        config = spec.trial_config(cell, params, seed, "gls")
        assert (config.rate, config.method) == (params["rate"], "gls")


EXTREMES = st.sampled_from(
    [0, -1, 1, 1e-300, 5e-324, -0.0, 1.5, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**400, 1e300, -1e18, float("nan"), -0.5]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    EXTREMES,
    st.text(max_size=8),
    st.sampled_from(
        ["", "../x", "a" * 300, "\ud800", "\0", "\x1b[31m", "a\nb", "auto", "own", "symlog", "grid", "1e5"]
    ),
    st.dates(),
    st.just(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)),
    st.binary(max_size=4),
)
KEYS = st.one_of(
    st.sampled_from(["name", "low", "high", "scale", "step", "values", "rate", "training.batch_size", "epochs", "lr"]),
    st.text(max_size=6),
    st.sampled_from([1, None, True, 2.5, "a\nb", "k" * 300, "<<", "="]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
DOCUMENTS = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(SECTIONS) | KEYS, VALUES, max_size=6),
    st.dictionaries(st.sampled_from(SECTIONS), VALUES, min_size=1, max_size=2).map(
        lambda changes: {**yaml.safe_load(SMALL), **changes}
    ),
)
# Pieces of YAML that no dumper writes: aliases, tags, keys given twice, numbers of base 60, documents, directives.
PIECES = st.sampled_from(
    [
        *(SMALL, "name: a\n", "seed: 1\n", "space: {rate: {low: 1}}\n", "---\n", "...\n", "%YAML 9.9\n"),
        *("- ", "? ", ": ", "{", "}", "[", "]", ",", "|\n", ">", "#", "'", '"', "\n", "  ", "\t"),
        *("&a ", "*a", "<<: ", "<<: *a\n", "!x ", "!!int x", "!!float ''", "!!bool x", "!!timestamp x"),
        *("!!binary x", "!!set {a}", "!!python/name:os.system ", "1:0.5", "seed: 1" + ":0" * 400 + ".5\n"),
        *("0x" + "f" * 5000, "9" * 5000, "2024-02-30", ".nan", '"\\ud800"', "\ufeff", "\x00", "\u2028"),
    ]
)
TEXTS = st.text(max_size=60) | st.lists(PIECES | st.text(max_size=4), max_size=12).map("".join)


def dumped(values: object) -> str:
    try:
        return yaml.safe_dump(values, allow_unicode=True)
    except (yaml.YAMLError, UnicodeError):  # what cannot be written in a file is no case of one
        return yaml.safe_dump(repr(values))


@MANY
def test_any_values_at_any_keys_give_a_study_or_are_refused(examples: int) -> None:
    fuzz(examples, DOCUMENTS, lambda values: assert_known(lambda: read_study(dumped(values), "study.yaml")))


@MANY
def test_any_text_gives_a_study_or_is_refused(examples: int) -> None:
    fuzz(examples, TEXTS, lambda text: assert_known(lambda: read_study(text, "study.yaml")))


def assert_known(read: Callable[[], StudySpec]) -> None:
    refusal(read)


class Change(NamedTuple):
    """What was done to a key of a study."""

    kind: str  # "delete", "typo", "type", "extreme"
    path: tuple[str, ...]
    value: Any = None


def keys(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from keys(value, (*path, key))


def typo(key: str, at: int) -> str:
    """A letter doubled, as fingers do: a name that no key has."""
    at %= len(key)
    return f"{key[:at]}{key[at]}{key[at:]}"


OTHERS: list[Any] = ["x", True, 1.5, 7, [], [[]], {"a": 1}, datetime.date(2026, 1, 1)]


@st.composite
def mutated(draw: st.DrawFn, least: int = 1, most: int = 3) -> tuple[dict[str, Any], list[Change]]:
    """A study that comes with the package, with one to three keys changed."""
    values: dict[str, Any] = yaml.safe_load(to_yaml(read_study(SHIPPED[draw(st.sampled_from(sorted(SHIPPED)))])))
    changes = []
    for _ in range(draw(st.integers(least, most))):
        path = draw(st.sampled_from(list(keys(values))))
        target: Any = values
        for key in path[:-1]:
            target = target[key]
        kind = draw(st.sampled_from(["delete", "typo", "type", "extreme"]))
        old, value = target.pop(path[-1]), None
        if kind == "typo":
            path = (*path[:-1], typo(path[-1], draw(st.integers(0, 20))))
            target[path[-1]] = old
        elif kind != "delete":
            # A whole number is right where a number is: of the types here it is none of another.
            taken = (type(old), int, float) if isinstance(old, float) else (type(old),)
            others = [new for new in OTHERS if not isinstance(new, taken)]
            value = target[path[-1]] = draw(st.sampled_from(others) if kind == "type" else EXTREMES)
        changes.append(Change(kind, path, value))
        if not any(True for _ in keys(values)):
            break
    return values, changes


@MANY
def test_a_changed_study_is_fit_to_run_or_refused(examples: int) -> None:
    fuzz(examples, mutated(), lambda case: assert_known(lambda: read_study(dumped(case[0]), "study.yaml")))


@MANY
def test_a_key_that_is_wrong_is_named(examples: int) -> None:
    def check(case: tuple[dict[str, Any], list[Change]]) -> None:
        values, (change,) = case
        message = refusal(lambda: read_study(dumped(values), "study.yaml"))
        *parents, key = change.path
        if change.kind == "typo":
            assert message
        if message and change.kind in ("typo", "type"):
            # Where a range lacks its `low` for a typo, the range is refused, and shown with the typo in it.
            assert ".".join(change.path) in message or (".".join(parents) in message and key in message)
        if message and change.kind == "delete" and change.path in (("name",), ("dataset",)):
            assert message.startswith(f"{key}: missing")

    fuzz(examples, mutated(most=1), check)


RAW = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([*SHIPPED.values(), SMALL]).flatmap(
        lambda text: st.one_of(
            st.integers(0, len(text)).map(lambda end: text.encode()[:end]),  # torn
            st.sampled_from(["utf-16", "utf-8-sig", "utf-32", "latin-1"]).map(
                lambda name: f"{text}# \u00fc".encode(name)
            ),
            st.tuples(st.integers(0, len(text)), st.binary(min_size=1, max_size=3) | st.just(b"\t")).map(
                lambda at: text.encode()[: at[0]] + at[1] + text.encode()[at[0] :]
            ),
            st.just(text.replace("  ", "\t").encode()),
            st.just(text.replace("\n", "\r\n").encode()),
        )
    ),
)


@MANY
def test_any_bytes_of_a_file_give_a_study_or_are_refused(examples: int, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        refusal(lambda: load_study(path), [str(path)])

    fuzz(examples, RAW, check)


OVERRIDES = st.one_of(
    st.text(max_size=30),
    st.tuples(
        st.sampled_from([".".join(path) for text in SHIPPED.values() for path in keys(yaml.safe_load(text))])
        | st.lists(st.sampled_from(SECTIONS) | st.text(max_size=5), max_size=4).map(".".join),
        TEXTS | SCALARS.map(str) | VALUES.map(lambda value: yaml.safe_dump(repr(value), default_flow_style=True)),
    ).map("=".join),
)


@MANY
def test_any_override_gives_a_study_or_is_refused(examples: int) -> None:
    def check(overrides: list[str]) -> None:
        refusal(lambda: read_study(SMALL, "study.yaml", overrides))

    fuzz(examples, st.lists(OVERRIDES, min_size=1, max_size=2), check)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1},' * 10}]\n" for i in range(1, 12)),
            "aliases are not read",
        ),
        ("name: a\nseed: 1" + ":0" * 100_000 + ".5", "seed: '1:0"),  # base 60 would be 60**100000
        ("name: a\nseed: 0x" + "f" * 200_000, "64 bits"),
        ("name: a\nspace: " + "{a: " * 50_000, "is not read as YAML"),
        ("name: a\nspace: " + "[" * 100 + "]" * 100, "inside each other"),
        ("name: a\nquestion: " + "x" * 2**18, "at most 262144 characters"),
        (
            "name: a\ndataset: {name: twonorm, noise: [" + ",".join(f"l{i}" for i in range(20_000)) + ", l0]}",
            "each once",
        ),
        (SMALL + "".join(f"k{i}: 1\n" for i in range(5_000)), "and 4990 more"),
        (SMALL + f"space: {{rate: {{values: [{','.join(f'-{i}.5' for i in range(5_000))}]}}}}", "at most 1000"),
        (SMALL + "search: {trials: 1000000000000}", "at most 100000"),
        (SMALL + "confirmation: {seeds: 1000000000000}", "at most 1000"),
        (SMALL + "confirmation: {seeds: auto, max_seeds: 1000000000000}", "at most 1000"),
        (SMALL + "confirmation: {finalists: 1000000000000}", "at most 1000"),
        (SMALL + "network: {width: 1000000000000}", "at most 65536"),
        (SMALL + "network: {depth: 1000000000000}", "at most 1000"),
        (SMALL.replace("8", "1000000000000"), "at most 100000"),
    ],
    ids=lambda text: text[-60:],  # whole ones are a megabyte, which every process of pytest-xdist sends
)
def test_what_would_take_all_memory_is_refused_at_once(text: str, rule: str) -> None:
    tracemalloc.start()
    start = time.perf_counter()
    try:
        message = refusal(lambda: read_study(text, "study.yaml"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rule in message
    assert peak < 2**28
    assert time.perf_counter() - start < 60  # tracemalloc slows PyYAML tenfold


def test_a_wide_range_of_integers_is_not_listed() -> None:
    spec = read_study(SMALL + "space: {training.batch_size: {low: 1, high: 2147483648}}")
    check_fit_to_run(spec)


@pytest.mark.parametrize(
    "bounds",
    [
        "{low: 0, high: 0.99999999999, step: 0.1}",  # its last value would be 1.0
        "{low: 1.0e-14, high: 0.5, step: 0.1}",
        "{low: 0, high: 1.0e-14, step: 1.0e-15}",  # all its values would be rounded to 0
    ],
)
def test_a_step_that_leads_out_of_its_range_is_refused(bounds: str) -> None:
    message = refusal(lambda: read_study(SMALL + f"space: {{training.optimizer.momentum: {bounds}}}", "study.yaml"))
    assert message.startswith("space.training.optimizer.momentum")


@pytest.mark.parametrize("name", ["x" * 300, f"{'y' * 300}/{'z' * 300}.yaml", "a\0b.yaml"])
def test_a_path_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=r"unknown|cannot be read"):
        load_study(name)


def test_a_device_without_end_is_refused() -> None:
    if not Path("/dev/zero").exists():
        pytest.skip("There is no /dev/zero here.")
    with pytest.raises(InputError, match="/dev/zero: the study file is refused: reading a pipe, a socket or a device"):
        load_study("/dev/zero")


def test_a_pipe_and_a_socket_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.yaml"))
        for name in ("pipe.yaml", "socket.yaml"):
            with pytest.raises(InputError, match="reading a pipe, a socket or a device may never end"):
                load_study(tmp_path / name)


def test_a_file_too_long_for_a_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text("#" * 300_000)
    with pytest.raises(InputError, match="at most 262144 characters"):
        load_study(tmp_path / "long.yaml")


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"\xff\xfename: a", [], ["study.yaml", "cannot be read"]),
        (b"name: a\n\tdataset: b", [], ["study.yaml", "line 2"]),
        (SMALL.encode() + b"seed: 1" + b":0" * 400 + b".5", [], ["seed: '1:0", "is refused: a whole number"]),
        (SMALL.encode() + b'"a\\e[31m\\nb": 1', [], ["study.yaml", "keys are text on one line"]),
        (SMALL.encode(), ["--set", "dataset.size=1000000000000"], ["dataset.size", "1000000000000", "at most"]),
        (
            SMALL.encode(),
            ["--set", f"dataset.table={{train: {'x' * 300}, features: [a]}}"],
            ["x" * 300, "there is no such file"],
        ),
    ],
)
def test_the_command_says_it_in_words_and_exits_with_2(
    tmp_path: Path, content: bytes, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "study.yaml").write_bytes(content)
    command = [str(TOSMOOTH), "describe", "study.yaml", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not done.stdout
    for word in words:
        assert word in done.stderr
