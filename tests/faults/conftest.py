"""The small study that ended undisturbed, to compare with; data to tear and to forge."""

from tests.search.conftest import finished
from tests.trainables.conftest import folders, save, small_cifar

__all__ = ["finished", "folders", "save", "small_cifar"]
