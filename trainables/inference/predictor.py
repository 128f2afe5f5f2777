"""A network with all that was done to its inputs: raw rows or pictures in, logits out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tosmooth.trainables.data.examples import standardised
from tosmooth.trainables.data.preprocessing import FeatureScale, Preprocessing
from tosmooth.trainables.inference.inputs import raw_inputs
from tosmooth.trainables.networks.device import EVALUATION_BATCH
from tosmooth.trainables.networks.inputs import for_backbone, scale_and_shift


class Predictor(nn.Module):
    """Trained network, set to evaluation, that takes raw examples and gives logits [N, K].

    Rows are numbers [N, D] in the order of `features`, as an array or a tensor; or a table of pandas, polars or Arrow
    that has the columns by their names, in any order. Pictures are uint8 [N, H, W, 3], or whatever a study takes, of
    the size of the training pictures unless the study resized them. Logits have the device and type of the network.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing, backbone: nn.Module | None = None) -> None:
        """Take the network; `backbone`: what makes its features, where it is the head of a frozen one."""
        super().__init__()
        self.network, self.backbone = network, backbone
        self.preprocessing = preprocessing
        self.eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the logits."""
        return self.preprocessing.classes

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, in their order; none of pictures."""
        return self.preprocessing.fitted.names

    def forward(self, inputs: Any) -> Tensor:
        """Logits [N, K] of raw examples, all at once.

        Raises `InputError` for what is not as the training set was: missing columns, other types, other sizes.
        """
        return self.logits(raw_inputs(inputs, self.preprocessing))

    def logits(self, raw: Tensor) -> Tensor:
        """Logits [N, K] of what `raw_inputs` gave."""
        weight = next(self.parameters())
        logits: Tensor = self.network(self._prepared(raw.to(weight.device)).to(weight.dtype))
        return logits

    def probabilities(self, inputs: Any) -> NDArray[np.float64]:
        """Probabilities [N, K] of the classes for raw examples, computed some at a time."""
        return self.raw_probabilities(raw_inputs(inputs, self.preprocessing))

    @torch.inference_mode()
    def raw_probabilities(self, raw: Tensor) -> NDArray[np.float64]:
        """Probabilities [N, K] of the classes for what `raw_inputs` gave."""
        device = next(self.parameters()).device
        parts = raw.split(EVALUATION_BATCH.get(device.type, EVALUATION_BATCH["cpu"]))
        return torch.cat([self.logits(part).double().softmax(dim=1).cpu() for part in parts]).numpy()

    def predict(self, inputs: Any) -> list[str]:
        """Names of the likeliest classes of raw examples."""
        return [self.classes[k] for k in self.probabilities(inputs).argmax(axis=1)]

    def _prepared(self, raw: Tensor) -> Tensor:
        """What the network sees of raw features [N, D], or pictures [N, H, W, 3]."""
        made = self.preprocessing
        if self.backbone is None:
            return self._normalised(raw) if made.of_pictures else self._standardised(raw)
        seen = for_backbone(raw, made.mean, made.std) if made.of_pictures else self._standardised(raw)
        features: Tensor = self.backbone(seen.to(next(self.backbone.parameters()).dtype))
        return features if made.features is None else _scaled(features.float(), made.features)

    def _standardised(self, raw: Tensor) -> Tensor:
        if not self.preprocessing.mean:
            return raw
        return standardised(raw, _float64(self.preprocessing.mean, raw), _float64(self.preprocessing.std, raw))

    def _normalised(self, pictures: Tensor) -> Tensor:
        scale, shift = scale_and_shift(self.preprocessing.mean, self.preprocessing.std, 255)
        scale, shift = (each.to(pictures.device).view(-1, 1, 1) for each in (scale, shift))
        return pictures.permute(0, 3, 1, 2).float() * scale + shift


def _float64(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=like.device)


def _scaled(features: Tensor, scale: FeatureScale) -> Tensor:
    """Features of a backbone as its head was given them: rounded as they were kept, and standardised."""
    factor, shift = (each.to(features.device) for each in scale_and_shift(scale.mean, scale.std, 1))
    kept: torch.dtype = getattr(torch, scale.dtype)
    return features.to(kept).float() * factor + shift
