"""How many trials run at once on the nodes of a cluster, and what each asks for."""

from typing import Any

import pytest

from tosmooth.search.run.resources import gpus_of, request, slots
from tosmooth.search.spec.sections import Resources
from tosmooth.trainables.errors import InputError

H100 = {"CPU": 16.0, "GPU": 3.0, "accelerator_type:H100": 1.0}
A100 = {"CPU": 16.0, "GPU": 8.0, "accelerator_type:A100": 1.0}
HEAD = {"CPU": 0.0, "node:__internal_head__": 1.0}


@pytest.mark.parametrize(
    ("asked", "nodes", "number"),
    [
        ({}, [{"CPU": 2.0}], 2),
        ({"cpus": 0.5}, [{"CPU": 2.0}], 4),
        ({"cpus": 0.5, "concurrent": 3}, [{"CPU": 2.0}], 3),
        ({}, [{"CPU": 16.0, "GPU": 1.0}], 4),  # a quarter of a GPU each
        ({"gpus": 0.25, "concurrent": 100}, [{"CPU": 2.0, "GPU": 8.0}], 2),
        ({"gpus": 1 / 3}, [HEAD, H100, H100], 18),
        ({"gpus": 0.33}, [H100], 9),
        ({"gpus": 0.4}, [H100], 6),  # two a GPU, and no seventh on what is left of three
        ({"gpus": 2.0}, [H100, H100], 2),  # none on the third GPUs of two nodes
        ({"cpus": 10.0}, [{"CPU": 16.0}, {"CPU": 16.0}], 2),  # not three
        ({"gpus": 1.0, "accelerator": "H100"}, [HEAD, H100, A100], 3),
        ({"accelerator": "A100"}, [HEAD, H100, A100], 16),  # 32 quarters of GPUs, 16 CPUs
    ],
)
def test_as_many_trials_run_at_once_as_fit(asked: dict[str, Any], nodes: list[dict[str, float]], number: int) -> None:
    assert slots(Resources(**asked), nodes, joined=False) == (number, number)


@pytest.mark.parametrize(
    ("asked", "nodes", "message"),
    [
        ({"cpus": 4.0, "gpus": 0.5}, [{"CPU": 2.0}], "4 CPUs and 0.5 GPUs a trial are refused: Ray found 2 CPU, 0 GPU"),
        ({"cpus": 4.0}, [{"CPU": 2.0}] * 3, "Ray found 6 CPU, 0 GPU on 3 nodes, none of which has room for one"),
        ({"accelerator": "T4"}, [H100, A100], "resources.accelerator: 'T4' is refused: Ray found A100, H100"),
        ({"accelerator": "T4"}, [{"CPU": 2.0}], "resources.accelerator: 'T4' is refused: Ray found none"),
    ],
)
def test_a_trial_that_fits_nowhere_is_refused_with_what_ray_found(
    asked: dict[str, Any], nodes: list[dict[str, float]], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        slots(Resources(**asked), nodes, joined=True)
    assert message in str(caught.value)


def test_on_a_cluster_that_grows_what_is_asked_for_waits_for_nodes() -> None:
    many = Resources(gpus=0.5, concurrent=40)
    assert slots(many, [HEAD], joined=True) == (40, 0)
    assert slots(many, [HEAD, H100], joined=True) == (40, 6)
    assert slots(many, [HEAD, H100], joined=False) == (6, 6)


def test_a_trial_asks_for_its_share_and_the_type_of_gpu() -> None:
    assert request(Resources(), 0.0) == {"cpu": 1.0, "gpu": 0.0}
    wanted = Resources(cpus=2.0, gpus=0.5, accelerator="H100")
    assert request(wanted, 0.5) == {"cpu": 2, "gpu": 0.5, "accelerator_type:H100": 0.001}
    assert gpus_of(Resources(), [{"CPU": 2.0}]) == 0
    assert gpus_of(Resources(gpus=0.0), [H100]) == 0
    assert gpus_of(Resources(accelerator="H100"), [HEAD]) == 0.25  # its node has not joined yet


@pytest.mark.parametrize("asked", [{"accelerator": ""}, {"accelerator": "H 100"}, {"accelerator": "H100", "gpus": 0.0}])
def test_an_accelerator_that_is_none_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"resources\.(accelerator|gpus)"):
        Resources(**asked)
