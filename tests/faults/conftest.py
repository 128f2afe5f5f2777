"""The small study that ended undisturbed, to compare with; data to tear and to forge."""

from tests.search.conftest import command, finished
from tests.trainables.conftest import folders, save, small_cifar

__all__ = ["command", "finished", "folders", "save", "small_cifar"]
