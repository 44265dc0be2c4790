"""Which gpus which attempt has."""

import pytest

from sirdar.agent.gpus import Gpus
from sirdar.agent.probe import gpu_ids


def test_no_two_attempts_have_the_same_and_each_sees_its_own() -> None:
    gpus = Gpus()
    assert gpus.take("a", 1) is None and not gpus.known, "nobody knows yet which there are"
    gpus.learn(["0", "1", "2"])
    assert gpus.take("a", 2) == ("0", "1") == gpus.take("a", 2)
    assert gpus.take("b", 2) is None
    assert gpus.take("c", 1) == ("2",)
    assert gpus.release("a") and not gpus.release("a")
    assert gpus.take("b", 2) == ("0", "1")
    assert gpus.environment("c") == {"CUDA_VISIBLE_DEVICES": "2"}
    assert gpus.environment("b") == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert gpus.environment("x") == {"CUDA_VISIBLE_DEVICES": ""}, "it asked for none"


def test_a_machine_without_gpus_says_nothing() -> None:
    gpus = Gpus()
    gpus.learn([])
    assert gpus.environment("x") == {}


def test_what_an_earlier_agent_gave_is_taken() -> None:
    gpus = Gpus()
    gpus.keep("old", ["0"])
    gpus.learn(["0", "1"])
    assert gpus.take("new", 1) == ("1",)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ["0", "1"]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ["1"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8a, GPU-9b"}, ["GPU-8a", "GPU-9b"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_an_agent_gives_out_what_it_was_given(environment: dict[str, str], expected: list[str]) -> None:
    assert gpu_ids(["T1", "T2"], environment) == expected
    assert gpu_ids([], environment) == []
