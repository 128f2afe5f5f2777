"""Trunks: a trial that branches from one equals the trial that does not; what is damaged is never used."""

import dataclasses
import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import fs

from tests.trainables.test_options import Changes, configured
from tosmooth.trainables.checkpointing.layout import lengths
from tosmooth.trainables.checkpointing.states import HEAD, State, digest, write_state
from tosmooth.trainables.checkpointing.trunks import Trunks, trunk_key, unchanged
from tosmooth.trainables.config import DataConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.trainer import Trainer

CPU = torch.device("cpu")
FEATURES: Changes = {"training.epochs": 4, "training.batch_size": 64, "rate": -0.4, "warmup": 2}
CNN = {"network.name": "cnn", "network.width": 4, "training.optimizer.lr": 0.01}
IMAGES: Changes = FEATURES | {"training.batch_size": 8} | CNN
TWO_PHASE: Changes = FEATURES | {"training.recipe": "two-phase"}
SECOND = {"name": "sgd", "lr": 0.01, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0}
CASES: dict[str, Changes] = {
    "mlp": FEATURES,
    "adamw": FEATURES | {"training.optimizer.name": "adamw", "training.optimizer.lr": 0.01},
    "learning rate falls after the warm-up": FEATURES | {"lr_after_warmup": 0.1, "training.schedule.name": "cosine"},
    "ramp-up longer than the warm-up": FEATURES | {"training.schedule.lr_rampup": 2.5},
    "cnn": IMAGES | {"training.augment": "crop-altflip"},
    "cnn in bfloat16": IMAGES | {"training.augment": "crop-flip", "training.precision": "bfloat16"},
    "fastcnn": IMAGES | {"network.name": "fastcnn", "training.augment": "crop-altflip"},
    "two-phase": TWO_PHASE,
    "two-phase, second optimizer": TWO_PHASE | {"training.second_optimizer": SECOND, "lr_after_warmup": 0.5},
    "cross-entropy at another learning rate": FEATURES | {"rate": 0.0, "lr_after_warmup": 0.1},
    "smoothing that grows": FEATURES | {"parameters": {"ramp": 1.5}},
    "forward correction, estimated": FEATURES | {"rate": 0.0, "method": "forward"},
    "backward correction, measured": FEATURES | {"rate": 0.0, "method": "backward", "transition": "measured"},
    "draws at random": FEATURES | {"rate": 0.0, "method": "peer"},
    "remembers each example": FEATURES | {"rate": 0.0, "method": "elr"},
    "remembers each class": FEATURES | {"rate": 0.0, "method": "online-smoothing"},
}
Ran = tuple[list[dict[str, float | None]], dict[str, torch.Tensor], int]  # curve, weights, epochs spared
STATE: State = {"epoch": 1, "weights": torch.arange(1000.0)}  # of 4 kB and a little


@pytest.fixture(scope="module")
def levels() -> dict[bool, LevelData]:
    """Data of features (False) and of images (True)."""
    config = DataConfig(dataset="twonorm", noise="symmetric-0.2", size=400, test_size=200)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 3
    images = torch.randint(0, 100, (24, 18, 18, 3), dtype=torch.uint8, generator=generator)
    images += (70 * labels).to(torch.uint8)[:, None, None, None]  # brightness tells the class
    split = Split(images, torch.arange(24), labels)
    pictures = LevelData(split, split, split, 3, 0.0, True, (0.5,) * 3, (0.3,) * 3, "pictures")
    return {False: load_level(config, Folders(Path("unused"), Path("unused"))), True: pictures}


def trunks_in(folder: Path | str, warmup: int = 3, **others: Any) -> Trunks:
    return Trunks(str(folder), lengths(range(warmup + 1)), **others)


def ran(config: TrialConfig, levels: dict[bool, LevelData], trunks: Trunks | None, device: torch.device = CPU) -> Ran:
    """A trial's curve without its times, its weights and buffers, and how many epochs it was spared."""
    trainer = Trainer(config, levels[config.network.name != "mlp"], device, trunks)
    curve = []
    while not trainer.done:
        curve.append(trainer.run_epoch().metrics)
    spared = sum(metrics.pop("spared", 0) == 1 and metrics["seconds"] == 0 for metrics in curve)
    plain = [{name: value for name, value in metrics.items() if name != "seconds"} for metrics in curve]
    return plain, {name: value.cpu().clone() for name, value in trainer.network.state_dict().items()}, spared


def assert_same(first: Ran, second: Ran) -> None:
    """Bit for bit: curves and every number of the network."""
    assert first[0] == second[0]
    assert len(first[0]) == 4
    assert first[1].keys() == second[1].keys()
    assert [name for name, value in first[1].items() if not torch.equal(value, second[1][name])] == []


def other(config: TrialConfig) -> TrialConfig:
    """A trial with the same trunk, up to its third epoch."""
    return dataclasses.replace(
        config, method="gls", parameters={}, transition=None, rate=0.1, warmup=3, lr_after_warmup=1.0
    )


def files_of(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_branched_trial_equals_the_unbranched_one_bit_for_bit(
    changes: Changes, levels: dict[bool, LevelData], tmp_path: Path
) -> None:
    config = configured(changes)
    alone = ran(config, levels, None)
    assert ran(other(config), levels, trunks_in(tmp_path))[2] == 0
    branched = ran(config, levels, trunks_in(tmp_path))
    assert (alone[2], branched[2]) == (0, 2)
    assert_same(branched, alone)


def test_cross_entropy_is_the_trunk_trained_to_the_end(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    config = configured(FEATURES | {"rate": 0.0, "warmup": 0})
    assert unchanged(config) == 4
    ran(other(config), levels, trunks_in(tmp_path))
    branched = ran(config, levels, trunks_in(tmp_path))
    assert branched[2] == 3  # all that another trial left
    assert_same(branched, ran(config, levels, None))


def test_cross_entropy_leaves_a_trunk_for_every_warm_up(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    ran(configured(FEATURES | {"rate": 0.0, "warmup": 0}), levels, trunks_in(tmp_path))
    assert files_of(tmp_path) == ["1.trunk", "2.trunk", "3.trunk"]  # none of 4 epochs: no warm-up is so long
    assert ran(configured(FEATURES), levels, trunks_in(tmp_path))[2] == 2


def test_longer_warm_up_begins_where_a_shorter_one_ended(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    config = configured(IMAGES | {"training.augment": "crop-altflip", "warmup": 3})
    ran(dataclasses.replace(config, warmup=1), levels, trunks_in(tmp_path))
    assert files_of(tmp_path) == ["1.trunk"]
    branched = ran(config, levels, trunks_in(tmp_path))
    assert branched[2] == 1
    assert files_of(tmp_path) == ["1.trunk", "2.trunk", "3.trunk"]
    assert_same(branched, ran(config, levels, None))


def test_branch_counts_the_epochs_at_chance_of_its_trunk(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    split = Split(torch.zeros(64, 20), torch.arange(64), torch.arange(64) % 2)  # all look alike: half are right
    alike = {False: dataclasses.replace(levels[False], train=split)}
    config = configured(FEATURES)
    reports: list[list[str | None]] = []
    for _ in range(2):
        trainer = Trainer(config, alike[False], CPU, trunks_in(tmp_path))
        reports.append([])
        while not trainer.done:
            reports[-1].append(trainer.run_epoch().diverged)
    assert trainer.curve[0]["train_accuracy"] == 50.0
    assert reports[0] == reports[1]
    assert [reason is not None for reason in reports[1]] == [False, False, True]  # the trunk's two count


def test_every_random_state_goes_on(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    config = configured(FEATURES)
    trainer = Trainer(config, levels[False], CPU, trunks_in(tmp_path))
    torch.manual_seed(5)  # as if a layer had drawn from it
    trainer.run_epoch()
    expected = torch.rand(3)
    trainer = Trainer(config, levels[False], CPU, trunks_in(tmp_path))
    assert torch.equal(torch.rand(3), expected)
    assert trainer.epoch == 1


def test_epochs_that_diverge_are_no_trunk(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    config = configured(FEATURES | {"training.optimizer.lr": 1e9})
    assert Trainer(config, levels[False], CPU, trunks_in(tmp_path)).run_epoch().diverged is not None
    assert files_of(tmp_path) == []


KEY_CHANGES: list[tuple[str, Any]] = [
    *(("training.batch_size", 63), ("training.epochs", 5), ("training.optimizer.lr", 0.2), ("train_seed", 1)),
    *(("training.optimizer.momentum", 0.8), ("training.schedule.name", "cosine"), ("training.precision", "bfloat16")),
    *(("network.width", 32), ("data.noise", "symmetric-0.1"), ("data.noise_seed", 1), ("data.split_seed", 1)),
    ("training.test_every", 2),  # of the curve that comes with it
]


@pytest.mark.parametrize(("key", "value"), KEY_CHANGES, ids=[key for key, _ in KEY_CHANGES])
def test_what_shapes_the_warm_up_makes_a_trunk_of_its_own(key: str, value: Any) -> None:
    keys = [trunk_key(configured(changes), "d", CPU, torch.float32) for changes in (FEATURES, {**FEATURES, key: value})]
    assert len(set(keys)) == 2
    assert {len(found) for found in keys} == {32}


def test_data_type_threads_and_digest_of_the_data_make_trunks_of_their_own() -> None:
    config = configured(FEATURES)
    threads = torch.get_num_threads()
    keys = {trunk_key(config, digest, CPU, dtype) for digest in "ab" for dtype in (torch.float32, torch.bfloat16)}
    assert len(keys) == 4
    torch.set_num_threads(threads + 1)
    try:
        assert trunk_key(config, "a", CPU, torch.float32) not in keys
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "changes",
    [
        {"rate": 0.3},
        {"warmup": 4},
        {"lr_after_warmup": 0.1},
        TWO_PHASE,
        TWO_PHASE | {"training.second_optimizer": SECOND},
    ],
    ids=["rate", "warmup", "lr_after_warmup", "recipe", "second_optimizer"],
)
def test_what_acts_after_the_warm_up_leaves_the_trunk_as_it_is(changes: Changes) -> None:
    first, second = (trunk_key(configured(c), "d", CPU, torch.float32) for c in (FEATURES, FEATURES | changes))
    assert first == second


def test_two_trials_that_make_the_same_trunk_at_once_both_finish(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    config = configured(FEATURES)
    trainers = [Trainer(config, levels[False], CPU, trunks_in(tmp_path)) for _ in range(2)]  # neither finds one
    accuracies = [[trainer.run_epoch().metrics["val_accuracy"] for trainer in trainers] for _ in range(4)]
    assert all(first == second for first, second in accuracies)
    assert files_of(tmp_path) == ["1.trunk", "2.trunk"]


def test_reader_beside_two_writers_never_sees_a_torn_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    states: list[State] = [{"epoch": 1, "weights": torch.full((size,), float(size))} for size in (10, 100_000)]
    key, local = "0" * 32, fs.LocalFileSystem()
    (tmp_path / key).mkdir()
    name = str(tmp_path / key / "1.trunk")
    write_state(local, name, states[0])

    def write(state: State) -> None:
        for _ in range(50):
            write_state(local, name, state)

    writers = [threading.Thread(target=write, args=(state,)) for state in states]
    for writer in writers:
        writer.start()
    read = [trunks_in(tmp_path).longest(key, 1)]
    while any(writer.is_alive() for writer in writers):
        read.append(trunks_in(tmp_path).longest(key, 1))
    for state in read:
        assert state is not None
        assert (state["weights"] == len(state["weights"])).all()
    assert caplog.messages == []
    assert files_of(tmp_path) == ["1.trunk"]


def flipped(position: int) -> Callable[[bytes], bytes]:
    def flip(content: bytes) -> bytes:
        at = position % len(content)
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return flip


def withdigest(state: State, folder: Path) -> bytes:
    """The file of a state, as who may write to the folder could make it."""
    torch.save(state, folder / "state")
    body = (folder / "state").read_bytes()
    return HEAD + digest(memoryview(body)) + body


class Harmful:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "head": flipped(3),
    "digest": flipped(len(HEAD) + 5),
    "first byte": flipped(len(HEAD) + 64),
    "middle": flipped(5000),
    "last byte": flipped(-1),
    "torn": lambda content: content[:-100],
    "empty": lambda content: b"",
}


@pytest.mark.faults
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_trunk_is_noticed_and_trained_again(
    damage: Callable[[bytes], bytes],
    levels: dict[bool, LevelData],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = configured(FEATURES)
    alone = ran(config, levels, trunks_in(tmp_path, 2))
    longest, shorter = sorted(tmp_path.rglob("*.trunk"), reverse=True)
    longest.write_bytes(damage(longest.read_bytes()))
    again = ran(config, levels, trunks_in(tmp_path, 2))
    assert again[2] == 1  # the shorter one is whole
    assert_same(again, alone)
    assert [message.partition(",")[0] for message in caplog.messages] == [f"{longest}: damaged"]
    assert ran(config, levels, trunks_in(tmp_path, 2))[2] == 2  # written anew
    assert shorter.exists()


@pytest.mark.faults
def test_code_in_a_trunk_is_refused_and_not_run(
    levels: dict[bool, LevelData], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config, place = configured(FEATURES), tmp_path / "trunks"
    alone = ran(config, levels, trunks_in(place, 2))
    for file in place.rglob("*.trunk"):
        file.write_bytes(withdigest({"epoch": int(file.stem), "network": Harmful(tmp_path / "harm")}, tmp_path))
    again = ran(config, levels, trunks_in(place, 2))
    assert not (tmp_path / "harm").exists()
    assert again[2] == 0
    assert_same(again, alone)
    assert sum(": damaged, and trained again: " in message for message in caplog.messages) == 2
    torch.load(tmp_path / "state", weights_only=False)
    assert (tmp_path / "harm").exists()  # it would have


def test_trunk_of_another_length_is_not_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key, trunks = "1" * 32, trunks_in(tmp_path)
    trunks.keep(key, 2, STATE)  # which says that it is of 1
    assert trunks.longest(key, 3) is None
    assert caplog.messages[0].endswith("2.trunk: damaged, and trained again: it is of 1 epochs")


def test_beyond_the_limit_the_oldest_go_and_files_of_others_stay(tmp_path: Path) -> None:
    photo = tmp_path / "0" / "photo.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"\0" * 100_000)  # older and larger than all
    os.utime(photo, (0, 0))
    trunks = trunks_in(tmp_path, limit=15_000)  # room for two
    for epochs, key in enumerate("abc", 1):
        trunks.keep(key * 32, epochs, {**STATE, "epoch": epochs})
        for file in tmp_path.rglob(f"{epochs}.trunk"):
            assert 4000 < file.stat().st_size < 7000
            os.utime(file, (epochs, epochs))
    assert files_of(tmp_path) == ["2.trunk", "3.trunk", "photo.jpg"]
    assert trunks.longest("a" * 32, 3) is None
    assert trunks.longest("c" * 32, 3) is not None


@pytest.mark.parametrize("scheme", ["file://{}/shared", "mock:///{}/shared"])
def test_trunks_lie_on_any_file_system_that_has_a_uri(
    scheme: str, levels: dict[bool, LevelData], tmp_path: Path
) -> None:
    config, place = configured(FEATURES), scheme.format(tmp_path)
    alone = ran(config, levels, trunks_in(place))
    branched = ran(config, levels, trunks_in(place))
    assert branched[2] == 2
    assert_same(branched, alone)
    expected = ["1.trunk", "2.trunk"] if scheme.startswith("file") else []
    assert files_of(tmp_path) == expected


def test_trunks_lie_in_a_part_of_another_file_system(
    levels: dict[bool, LevelData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr("tosmooth.trainables.checkpointing.trunks.open_place", lambda place: (part, place))
    config = configured(FEATURES)
    assert [ran(config, levels, trunks_in("a/b", limit=10**6))[2] for _ in range(2)] == [0, 2]
    assert {file.parent.parent for file in tmp_path.rglob("*.trunk")} == {tmp_path / "a" / "b"}


@pytest.mark.faults
def test_disk_that_is_full_does_not_stop_the_trial(
    levels: dict[bool, LevelData], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(FEATURES | {"network.width": 4096})  # a state of 700 kB
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))  # no file can grow beyond it
    try:
        found = ran(config, levels, trunks_in(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert_same(found, ran(config, levels, None))
    assert len([message for message in caplog.messages if "is not kept" in message]) == 2
    assert files_of(tmp_path) == []  # nor half of one


@pytest.mark.faults
def test_place_that_cannot_be_used_does_not_stop_the_trial(levels: dict[bool, LevelData], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    config = configured(FEATURES)
    assert_same(ran(config, levels, trunks_in(tmp_path / "file" / "trunks")), ran(config, levels, None))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["mlp", "adamw", "cnn", "fastcnn", "two-phase"])
def test_branched_trial_equals_the_unbranched_one_on_a_gpu(
    name: str, levels: dict[bool, LevelData], tmp_path: Path
) -> None:
    """Within 1e-3, relative and absolute: a GPU may add in another order. In float32; bfloat16 has 1e-2 between two."""
    config, cuda = configured(CASES[name] | {"training.precision": "float32"}), torch.device("cuda")
    alone = ran(config, levels, None, cuda)
    ran(other(config), levels, trunks_in(tmp_path), cuda)
    branched = ran(config, levels, trunks_in(tmp_path), cuda)
    assert (alone[2], branched[2]) == (0, 2)
    for key, value in alone[1].items():
        torch.testing.assert_close(branched[1][key], value, rtol=1e-3, atol=1e-3)
    for first, second in zip(branched[0], alone[0], strict=True):
        assert first["train_loss"] == pytest.approx(second["train_loss"], rel=1e-3, abs=1e-3)
