"""The machines that trained a study are remembered, each once."""

from pathlib import Path

from tosmooth.search.storage.machines import keep_machine, read_machines


def test_a_machine_is_kept_once_and_another_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "machines.json"
    assert read_machines(file) == []
    for nodes, cpus, gpus, kinds in ((1, 2.0, 0.0, []), (1, 2.0, 0.0, []), (3, 48.0, 4.0, ["H100", "T4"])):
        keep_machine(file, nodes, cpus, gpus, kinds)
    first, second = read_machines(file)
    assert first.words == f"2 cores ({first.processor})"
    assert second.words == f"3 nodes, 48 cores ({second.processor}), 4 GPUs (H100, T4)"
    assert first.processor
    assert {"python", "torch", "ray", "tosmooth"} <= first.versions.keys()


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    file = tmp_path / "machines.json"
    for text in ("", "{", '[{"nodes": 1}]', "[1]", "{}"):
        file.write_text(text, encoding="utf-8")
        assert read_machines(file) == []
