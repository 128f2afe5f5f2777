"""Classification models of torchvision and timm, and their weights.

Both libraries take seconds to import, and neither is needed for a network of ours: they are imported where one of
theirs is asked for. torchvision: https://docs.pytorch.org/vision/stable/models.html; timm:
https://huggingface.co/docs/timm.
"""

import inspect
import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout, suppress
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tosmooth.trainables.errors import InputError, first_line, require

KEY = "network.name"
# Classifiers beside the last one, which take part in training alone: left out.
WITHOUT = {"googlenet": {"aux_logits": False}, "inception_v3": {"aux_logits": False}}
# torchvision's networks that expect pixels from -1 to 1. Its presets name the numbers of ImageNet all the same, and the
# networks convert (`transform_input`) where torchvision itself loads their weights.
SYMMETRIC = ("googlenet", "inception_v3")
Weights = Mapping[str, Tensor]


def library_network(name: str, classes: int, size: int | None = None) -> nn.Module:
    """A network by "torchvision/NAME" or "timm/NAME", with new weights, to logits [B, classes].

    Of timm 0 classes are none: to features [B, D]. `size`: pixels that it will see, where it wants to know. Raises
    `InputError` for an unknown name.
    """
    library, _, model = name.partition("/")
    if library == "timm":
        return _timm(model, classes, size)
    from torchvision import models  # noqa: PLC0415

    _check_torchvision(model)
    more: dict[str, Any] = WITHOUT.get(model, {})
    if "init_weights" in inspect.signature(models.get_model_builder(model)).parameters or more:
        more = {**more, "init_weights": True}
    if model.startswith("vit_") and size is not None:
        more = {**more, "image_size": size}
    network: nn.Module = models.get_model(model, weights=None, num_classes=classes, **more)
    return network


def description(name: str) -> dict[str, Any]:
    """Size, mean, standard deviation and interpolation that a network's default weights were trained with."""
    library, _, model = name.partition("/")
    if library == "timm":
        _check_timm(model)
        from timm.models import get_pretrained_cfg  # noqa: PLC0415

        said = get_pretrained_cfg(model)
        if said is None:
            raise InputError(f"network.weights: timm has none for {model}")
        mean, std = tuple(said.mean), tuple(said.std)
        return {"size": int(said.input_size[1]), "mean": mean, "std": std, "interpolation": said.interpolation}
    from torchvision import models  # noqa: PLC0415

    _check_torchvision(model)
    preset = models.get_model_weights(model).DEFAULT.transforms()
    return {
        "size": int(preset.crop_size[0]),
        "mean": (0.5, 0.5, 0.5) if model in SYMMETRIC else tuple(preset.mean),
        "std": (0.5, 0.5, 0.5) if model in SYMMETRIC else tuple(preset.std),
        "interpolation": preset.interpolation.value,
    }


def default_weights(name: str, cache: Path, size: int | None) -> tuple[Weights, Path | None]:
    """Fetch the library's own weights into `cache`: state, and the file where it is one that was fetched.

    Raises `InputError` where they cannot be had.
    """
    library, _, model = name.partition("/")
    try:
        if library == "timm":
            _check_timm(model)
            network = _made(model, size, pretrained=True, num_classes=0, cache_dir=cache)
            return network.state_dict(), None
        from torch.hub import load_state_dict_from_url  # noqa: PLC0415
        from torchvision import models  # noqa: PLC0415

        _check_torchvision(model)
        url = models.get_model_weights(model).DEFAULT.url
        file = cache / url.rpartition("/")[2]
        with redirect_stdout(sys.stderr):  # where it says what it fetches
            state = load_state_dict_from_url(url, str(cache), "cpu", progress=False, check_hash=True, weights_only=True)
    except InputError:
        raise
    except Exception as error:  # no internet, a proxy, a full disk, no such weights: each library has its own words
        advice = "name a file with network.weights, or run where there is internet"
        raise InputError(f"network.weights: default of {name} cannot be had: {first_line(error)}; {advice}") from error
    return state, file


def _timm(model: str, classes: int, size: int | None) -> nn.Module:
    _check_timm(model)
    return _made(model, size, pretrained=False, num_classes=classes)


def _made(model: str, size: int | None, **more: Any) -> nn.Module:
    """A model of timm. Transformers are made for a size; convolutions take any, and have no such argument."""
    import timm  # noqa: PLC0415

    if size is not None:
        with suppress(TypeError):
            network: nn.Module = timm.create_model(model, img_size=size, **more)
            return network
    return timm.create_model(model, **more)  # type: ignore[no-any-return]


def _check_torchvision(model: str) -> None:
    from torchvision import models  # noqa: PLC0415

    known = models.list_models(module=models)
    require(model in known, KEY, f"torchvision/{model}", _near(model, known, "torchvision"))


def _check_timm(model: str) -> None:
    if find_spec("timm") is None:
        raise InputError(f"{KEY}: timm/{model} needs timm: pip install 'tosmooth[timm]'")
    import timm  # noqa: PLC0415

    known = timm.list_models()
    name, dot, tag = model.partition(".")  # NAME.TAG names weights of a model
    require(name in known, KEY, f"timm/{model}", _near(model, known, "timm"))
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{name}.*")] if dot else [tag]
    require(tag in tags, KEY, f"timm/{model}", f"{name}, with a dot and one of {', '.join(tags)}" if tags else name)


def _near(model: str, known: Iterable[str], library: str) -> str:
    near = get_close_matches(model, list(known), n=4, cutoff=0.4)
    named = f": did you mean {', '.join(f'{library}/{each}' for each in near)}?" if near else ""
    return f"a classification model of {library}{named}"
