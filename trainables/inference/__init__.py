"""Trained networks on raw examples: rows of a table and pictures in, logits and probabilities out. Imports
`checkpointing` and all below it.
"""

from tosmooth.trainables.inference.ensemble import Predicted, predicted
from tosmooth.trainables.inference.loading import completed, load_weights
from tosmooth.trainables.inference.predictor import Predictor

__all__ = ["Predicted", "Predictor", "completed", "load_weights", "predicted"]
