"""Weights carry a digest: a bit that flips is noticed when they are read."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tosmooth.trainables.checkpointing.weights import read_trial, save_weights

STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "norm.num_batches_tracked": torch.tensor(7)}


def test_weights_come_back_with_their_trial(tmp_path: Path) -> None:
    save_weights(tmp_path / "new" / "a.safetensors", STATE, '{"rate": 0.5}')
    found = load_file(tmp_path / "new" / "a.safetensors")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    assert read_trial(tmp_path / "new" / "a.safetensors") == '{"rate": 0.5}'
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.safetensors"]


def test_weights_without_a_digest_are_taken_as_they_are(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "old.safetensors", metadata={"trial": "{}"})
    assert read_trial(tmp_path / "old.safetensors") == "{}"


def test_a_bit_that_flips_or_an_end_that_is_missing_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(path, STATE, '{"rate": 0.5}')
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        try:
            trial, found = read_trial(path), load_file(path)
        except ValueError:
            continue
        # The names of the metadata, and spaces between: what is read is as it was written, or there is no trial.
        assert trial in ('{"rate": 0.5}', "")
        assert all(torch.equal(found[name], STATE[name]) for name in STATE)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match=r"."):
            read_trial(path)
