"""Description of how a raw example becomes what a network sees, kept with its weights: new ones are made alike."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self, TypeVar

from tosmooth.trainables.data.column_numbers import Column
from tosmooth.trainables.data.columns import Fitted
from tosmooth.trainables.data.pictures import AS_THEY_ARE, PictureRule

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureScale:
    """How features of a frozen backbone are kept and standardised before the head sees them."""

    mean: tuple[float, ...]  # [D]
    std: tuple[float, ...]  # [D]
    dtype: str  # float16 or float32, in which they were kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How raw examples become inputs of a network: rows of a table, or pictures."""

    classes: tuple[str, ...]  # names in the order of the logits; numbers where the data have no names
    shape: tuple[int, ...]  # of an example: (D,) of features, (H, W, 3) of pictures
    mean: tuple[float, ...] = ()  # features: of each, in the training set; pictures: per channel, of pixels in [0, 1]
    std: tuple[float, ...] = ()  # likewise; (): features are taken as they are
    columns: tuple[Column, ...] = ()  # of a table, which features are made of, in their order
    image: str | None = None  # column of a table that holds the pictures; None: they are files
    rule: PictureRule = AS_THEY_ARE  # how pictures come to their size
    black_and_white: bool = False  # pictures of the training set are 0 and 255 alone: in arrays 1 may mean white
    size: int | None = None  # pixels of a square, to which a network resizes pictures itself; None: it does not
    interpolation: str = "bilinear"  # of that
    features: FeatureScale | None = None  # of a frozen backbone; None: there is none

    @property
    def of_pictures(self) -> bool:
        """True if the examples are pictures."""
        return len(self.shape) == 3

    @property
    def fitted(self) -> Fitted:
        """What the columns of the training set became, for new rows."""
        return Fitted(self.columns)

    def to_json(self) -> str:
        """Write it as JSON; `from_json` takes that back."""
        values = asdict(self)
        for column in values["columns"]:
            column["origins"] = [str(origin) for origin in column["origins"]]
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        values: dict[str, Any] = {key: _settled(value) for key, value in json.loads(text).items()}
        values["columns"] = tuple(map(_column, values["columns"]))
        values["rule"] = _made(PictureRule, values["rule"])
        if values["features"] is not None:
            values["features"] = _made(FeatureScale, values["features"])
        return cls(**values)


def plain_columns(names: Sequence[str]) -> tuple[Column, ...]:
    """Columns of numbers, one for each feature."""
    return tuple(Column(name, "numbers", origins=(Fraction(0),)) for name in names)


def two_valued(mean: Sequence[float], std: Sequence[float]) -> bool:
    """True if pixels in [0, 1] of this mean and standard deviation, per channel, are 0 or 1 each."""
    return all(abs(deviation**2 - each * (1 - each)) < 1e-9 for each, deviation in zip(mean, std, strict=True))


def _column(values: dict[str, Any]) -> Column:
    return _made(Column, values | {"origins": [Fraction(text) for text in values["origins"]]})


def _made(kind: type[T], values: dict[str, Any]) -> T:
    return kind(**{key: _settled(value) for key, value in values.items()})


def _settled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
