"""What is said of a user's own data beside the numbers: what was imputed, left out, or looks odd."""

from collections.abc import Iterator, Sequence

import numpy as np

from tosmooth.trainables.config import TableSource
from tosmooth.trainables.data.columns import Fitted
from tosmooth.trainables.data.examples import Examples
from tosmooth.trainables.data.labels import alike
from tosmooth.trainables.errors import require, shown
from tosmooth.trainables.files import hub
from tosmooth.trainables.files.folders import Folders

KEY = "dataset.table"
NAMED = 5  # columns that are named


def on_commits(wanted: TableSource, folders: Folders) -> Iterator[str]:
    """Say of what was fetched from the hub when it is from: what changes there later is not seen."""
    commits = {
        place: hub.commit_of(place, KEY, folders.cache)
        for part in ("train", "test")
        for place in wanted.places(part)
        if hub.on_hub(place)
    }
    yield from (f"{place} is of the commit {commit}" for place, commit in commits.items())


def on_features(fitted: Fitted) -> Iterator[str]:
    """Say what became of values that are missing, or that the training set lacks."""
    if fitted.unseen:
        yield f"{fitted.unseen} rows of the test set have a category that the training set lacks"
    if fitted.gaps:
        names, values = [name for name, _ in fitted.gaps], sum(rows for _, rows in fitted.gaps)
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        yield f"{values} missing value{'' if values == 1 else 's'} imputed: {', '.join(names[:NAMED])}{more}"


def on_labels(train: Examples, test: Examples | None, names: Sequence[str], empty: tuple[int, int]) -> Iterator[str]:
    """Say what of the labels a reader must know; `empty`: rows of both that were left out before, without a label."""
    for what, part, more in (("training", train, empty[0]), ("test", test, empty[1])):
        if part is None:
            continue
        rows, labelled = len(part.inputs) + more, len(part.labelled)
        require(labelled > 0, f"{KEY}: labels of the {what} set", rows, "rows, and none of them has a label")
        if labelled < rows:
            yield f"{rows - labelled} of {rows} {what} rows have no label and are left out"
    for same in alike(names):
        yield f"the classes {' and '.join(map(repr, same))} differ in case, blanks or zeros alone: probably one class"
    if test is not None:
        seen = set(train.given[train.labelled].tolist())
        unknown = [names[k] for k in np.unique(test.given[test.labelled]) if k not in seen]
        if unknown:
            share = 100 * np.isin(test.given[test.labelled], list(seen), invert=True).mean()
            yield f"{share:.3g} % of the test set are of classes that no training row has: {shown(', '.join(unknown))}"
