"""Batches: which pixels reach the network, and whether augmentation is distributed as torchvision's."""

import threading
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, chisquare
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as transform

from tosmooth.trainables.config import DataConfig, NetworkConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.networks import augment
from tosmooth.trainables.training import batches as batches_module
from tosmooth.trainables.training.batches import Batches
from tosmooth.trainables.training.trainer import Trainer

CPU = torch.device("cpu")
PADDING = 4
OFFSETS = 2 * PADDING + 1
# Each pixel tells its row and column: [H, W, C], nowhere 0, which is the colour of the padding.
PLACES = torch.stack(
    [*torch.meshgrid(torch.arange(32) + 100, torch.arange(32) + 100, indexing="ij"), torch.full((32, 32), 255)], dim=2
).to(torch.uint8)


def level(split: Split, mean: tuple[float, ...] = (0.0,) * 3, std: tuple[float, ...] = (1.0,) * 3) -> LevelData:
    return LevelData(split, split, None, 10, 0.0, True, mean, std, "")


def batches(split: Split, dtype: torch.dtype = torch.float32, **scale: tuple[float, ...]) -> Batches:
    return Batches(split, level(split, **scale), CPU, dtype)


def copies(n: int) -> Split:
    """One image as `n` examples."""
    return Split(PLACES[None], torch.zeros(n, dtype=torch.int64), torch.arange(n))


def augmented(n: int, seed: int = 0) -> Tensor:
    """`n` augmentations of PLACES, uint8 [n, C, H, W]."""
    images, _ = batches(copies(n)).take(torch.arange(n), torch.Generator().manual_seed(seed))
    return (images * 255).round().to(torch.uint8)


def transforms(images: Tensor) -> NDArray[np.int64]:
    """How each of `images` [n, C, H, W] was made from PLACES: row offset, column offset (0 to 8), flipped, [n, 3]."""
    middle = images[:, :2, 16, 15:17].long() - 100  # rows and columns of two pixels that come from inside every crop
    flipped = middle[:, 1, 0] > middle[:, 1, 1]
    row = middle[:, 0, 0] - 16 + PADDING
    column = middle[:, 1].amin(dim=1) - 15 + PADDING
    return torch.stack([row, column, flipped.long()], dim=1).numpy()


def cells(found: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each of the 9 * 9 * 2 transforms occurs."""
    row, column, flipped = found.T
    return np.bincount((row * OFFSETS + column) * 2 + flipped, minlength=OFFSETS**2 * 2)


def test_every_offset_and_flip_is_equally_likely() -> None:
    counts = cells(transforms(augmented(16_200)))  # 100 expected in each of the 162 cells
    assert chisquare(counts).pvalue > 0.01
    assert abs(counts[1::2].sum() / 16_200 - 0.5) < 0.012  # flips: three standard deviations


def test_augmentation_is_distributed_as_torchvisions() -> None:
    torch.manual_seed(0)
    pipeline = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()])
    image = PLACES.permute(2, 0, 1)
    theirs = transforms(torch.stack([pipeline(image) for _ in range(3240)]))
    ours = transforms(augmented(3240))
    for axis in range(3):  # row offset, column offset, flip
        table = [np.bincount(found[:, axis], minlength=2) for found in (ours, theirs)]
        assert chi2_contingency(table).pvalue > 0.01
    assert chi2_contingency([cells(ours), cells(theirs)]).pvalue > 0.01


def test_augmented_images_are_torchvisions_pixel_by_pixel_black_borders_included() -> None:
    images = augmented(200)
    padded = transform.pad(PLACES.permute(2, 0, 1), [PADDING])
    for image, (row, column, flipped) in zip(images, transforms(images).tolist(), strict=True):
        crop = transform.crop(padded, row, column, 32, 32)
        assert torch.equal(image, transform.horizontal_flip(crop) if flipped else crop)


def test_images_of_a_batch_are_augmented_each_on_its_own() -> None:
    assert len({tuple(found) for found in transforms(augmented(64)).tolist()}) > 40


def test_padding_bounds_how_far_an_image_is_moved() -> None:
    split = copies(400)
    part = Batches(split, level(split), CPU, torch.float32, padding=1)
    images, _ = part.take(torch.arange(400), torch.Generator().manual_seed(0))
    found = transforms((images * 255).round().to(torch.uint8))
    assert {tuple(offset) for offset in found[:, :2].tolist()} == {(r, c) for r in (3, 4, 5) for c in (3, 4, 5)}


def test_flips_that_are_given_are_not_drawn() -> None:
    mirrored = torch.arange(64) % 3 == 0
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    images, _ = batches(copies(64)).take(order, torch.Generator().manual_seed(0), mirrored)
    assert transforms((images * 255).round().to(torch.uint8))[:, 2].tolist() == mirrored[order].long().tolist()


def test_augmentation_repeats_with_its_seed_alone() -> None:
    assert torch.equal(augmented(32, seed=1), augmented(32, seed=1))
    assert not torch.equal(augmented(32, seed=1), augmented(32, seed=2))


def test_images_that_are_not_square_are_augmented_within_their_size() -> None:
    split = Split(torch.randint(0, 256, (6, 12, 20, 3), dtype=torch.uint8), torch.arange(6), torch.arange(6))
    images, _ = batches(split).take(torch.arange(6), torch.Generator().manual_seed(0))
    assert images.shape == (6, 3, 12, 20)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_normalisation_equals_torchvisions(dtype: torch.dtype) -> None:
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    pixels = torch.arange(256, dtype=torch.uint8).repeat(2, 3).view(2, 16, 16, 3)
    images, _ = batches(Split(pixels, torch.arange(2), torch.arange(2)), dtype, mean=mean, std=std).take(
        torch.arange(2)
    )
    steps = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    expected = torch.stack([v2.Compose(steps)(image.numpy()) for image in pixels])
    assert images.dtype == dtype
    rounding = 2**-8 if dtype == torch.bfloat16 else 1e-6  # half of its last place
    torch.testing.assert_close(images.float(), expected, rtol=rounding, atol=2e-6)


def test_images_reach_the_network_in_channels_last_memory() -> None:
    images, _ = batches(copies(4)).take(torch.arange(4))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_without_a_generator_nothing_is_cropped_or_flipped() -> None:
    images, _ = batches(copies(8)).take(torch.arange(8))
    assert torch.equal((images * 255).round().byte(), PLACES.permute(2, 0, 1).expand(8, -1, -1, -1))


def test_batch_holds_the_rows_and_labels_of_the_split_in_the_order_asked_for() -> None:
    features = torch.arange(10.0)[:, None]
    split = Split(features, torch.tensor([3, 9, 4]), torch.tensor([0, 1, 2]))
    part = Batches(split, level(split, (0.0,), (1.0,)), CPU, torch.float32)
    inputs, labels = part.take(torch.tensor([2, 0]), torch.Generator())
    assert len(part) == 3
    assert inputs.tolist() == [[4.0], [3.0]]
    assert labels.tolist() == [2, 0]


def test_shared_images_are_never_written_to() -> None:
    before = PLACES.clone()
    augmented(64)
    assert torch.equal(PLACES, before)


@pytest.mark.parametrize("kind", ["trivial", "randaugment"])
def test_torchvision_s_policies_change_each_picture_on_its_own(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(0, 256, (1, 16, 16, 3), dtype=torch.uint8, generator=generator)
    same = picture.repeat(32, 1, 1, 1)
    state = torch.get_rng_state()
    first, again = (augment.augmented(same, kind, 0, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())  # the network's own draws are left alone
    assert torch.equal(first, again)
    assert (first.shape, first.dtype) == (same.shape, torch.uint8)
    assert len({bytes(image.contiguous().numpy()) for image in first}) > 16


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_inputs_that_do_not_fit_are_read_ahead_and_train_the_same(
    augment: Literal["none", "crop-flip"], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 16, 16, 3), dtype=torch.uint8, generator=generator)
    split = Split(images, torch.arange(40), torch.arange(40) % 3)
    data = LevelData(split, split, split, 3, 0.0, True, (0.5,) * 3, (0.3,) * 3, "")
    recipe = TrainingConfig(epochs=2, batch_size=9, augment=augment, precision="float32")
    config = TrialConfig(data=DataConfig(dataset="any"), network=NetworkConfig(name="cnn", width=4), training=recipe)

    def curve() -> list[dict[str, float | None]]:
        trainer = Trainer(config, data, CPU)
        reports = [trainer.run_epoch().metrics for _ in range(2)]
        return [{key: value for key, value in each.items() if key != "seconds"} for each in reports]

    whole, read, ahead = curve(), Batches._from_file, threading.current_thread().name

    def watched(self: Batches, rows: Tensor) -> Tensor:
        threads.append(threading.current_thread().name)
        return read(self, rows)

    threads: list[str] = []
    monkeypatch.setattr(batches_module, "memory_of_machine", lambda: images.numel())
    monkeypatch.setattr(Batches, "_from_file", watched)
    assert curve() == whole
    # Of the 5 batches of an epoch the first is read where it is trained on, and so is that of each evaluation.
    assert [name == ahead for name in threads].count(True) == 2 * 3
    assert len(threads) == 2 * (5 + 1 + 1)


def test_inputs_fit_into_half_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = torch.zeros(100, dtype=torch.uint8)
    for memory, there in ((200, True), (199, False)):
        monkeypatch.setattr(batches_module, "memory_of_machine", lambda size=memory: size)
        assert batches_module.fits(inputs, CPU) == there
    monkeypatch.undo()
    assert 2**28 < batches_module.memory_of_machine() < 2**50
