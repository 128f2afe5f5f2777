"""Names of noise levels as people write them, and the names that they mean."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from tosmooth.trainables.errors import require

KINDS = ("symmetric", "pairflip", "asymmetric", "instance")  # whose names end in a rate (`noise.synthetic.RATED`)
LONGEST = 200  # characters in which names are looked for
WRITTEN = re.compile(r"\s*([A-Za-z]+)[\s_:=(-]*(\d+(?:[.,]\d+)?|[.,]\d+)\s*(%?)\s*\)?\s*", re.ASCII)


def check_levels(dataset: object) -> None:
    """Raise `InputError` where a level of the section `dataset` is another's name in other words."""
    levels = dataset.get("noise") if isinstance(dataset, Mapping) else None
    rule = "a list of levels, such as [clean, symmetric-0.2]"
    require(not isinstance(levels, int | float), "dataset.noise", levels, rule)
    if isinstance(levels, str):
        require(_split(levels) == [], "dataset.noise", levels, f"a list, such as [{', '.join(_split(levels))}]")
    for i, level in enumerate(levels if isinstance(levels, list | tuple) else ()):
        near = None
        if isinstance(level, str):
            parts = _split(level)
            near = meant(level) or (f"[{', '.join(parts)}], with commas" if len(parts) > 1 else None)
        elif isinstance(level, Mapping) and len(level) == 1:  # [symmetric: 0.2]
            name = "-".join(map(str, *level.items()))
            near = meant(name) or name
        elif isinstance(level, int | float) and not isinstance(level, bool) and 0 < level < 100:
            near = meant(f"symmetric {level}")
        require(near is None, f"dataset.noise[{i}]", level, f"did you mean {near}?")


def _split(text: str) -> list[str]:
    """Names in a text that is no list: between commas, semicolons or spaces, after dashes."""
    few = text.isprintable() and len(text) <= LONGEST
    return [part.lstrip("-") for part in re.split(r"[,;\s]+", text) if part.lstrip("-")] if few else []


def meant(level: str) -> str | None:
    """Return the name that "symmetric-20%", "sym-0.2" or "Symmetric 0,2" mean; `None` for a level's own name."""
    parts = WRITTEN.fullmatch(level)
    if parts is None:
        return None
    word, number, percent = parts[1].lower(), float(parts[2].replace(",", ".")), parts[3]
    kinds = [kind for kind in KINDS if kind.startswith(word) and len(word) >= 3]
    kinds += get_close_matches(word, KINDS, n=1, cutoff=0.75)
    if not kinds or (kinds[0] == parts[1] and re.fullmatch(r"[a-z]+-\d*\.?\d+", level) and number < 2):
        return None
    rate = number / 100 if percent or number >= 2 else number
    return f"{kinds[0]}-{rate:g}" if rate < 1 else None
