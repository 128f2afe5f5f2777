"""Find the study files that come with the package. Loads nothing: completion in the shell asks this at every key."""

from importlib.resources import files
from importlib.resources.abc import Traversable


def shipped_studies() -> list[str]:
    """Names of the studies that come with the package."""
    entries = (entry.name for entry in files("tosmooth.studies").iterdir())
    return sorted(name.removesuffix(".yaml") for name in entries if name.endswith(".yaml"))


def shipped_file(name: str) -> Traversable:
    """File of a study that comes with the package."""
    return files("tosmooth.studies").joinpath(f"{name}.yaml")
