"""Which frames are asked for, and what a segmenter refuses."""

import pytest
import torch
from angioseg.errors import AngioSegError
from angioseg.nets import CENet3D2D, save_weights
from angioseg.segmentation import Segmenter, parse_frames


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("all", range(9)),
        (0, range(1)),
        (8, range(8, 9)),
        ([2, 4], range(2, 5)),
        ((0, 8), range(9)),
        ([3, 3], range(3, 4)),
    ],
)
def test_frames(value, expected):
    assert parse_frames(value, 9) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (9, "frames 9 to 9: the cine has frames 0 to 8"),
        (-1, "frames -1 to -1"),
        ([4, 2], "frames 4 to 2"),
        ([0, 9], "frames 0 to 9"),
        ([1, 2, 3], "give"),
        ([], "give"),
        ("some", "give"),
        ("12", "give"),
        (True, "give"),
        (1.0, "give"),
        ([0.0, 2.0], "give"),
        (["a", "b"], "give"),
        (None, "give"),
        ({}, "give"),
    ],
)
def test_ill_frames(value, message):
    with pytest.raises(AngioSegError, match=message):
        parse_frames(value, 9)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for neighbors in (0, 2):
        save_weights(CENet3D2D(1, 1, neighbors), folder / f"{neighbors}.pt")
    save_weights(CENet3D2D(1, 1, 0, norm="batch"), folder / "batch.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), folder / "linear.pt")
    return folder


@pytest.mark.parametrize("neighbors", [0, 2])
def test_n_is_read_from_the_weights(weights, neighbors):
    segmenter = Segmenter(weights / f"{neighbors}.pt", device="cpu")
    assert segmenter.network.num_neighbors == neighbors
    assert len(segmenter.model["weights"]) == 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "linear.pt"}, "linear.pt: not weights of AngioSeg's network"),
        ({"model": "batch.pt"}, "batch.pt: weights of CENet3D2D.*do not fit here"),
        ({"model": "nothing.pt"}, "nothing.pt: no such weights file"),
        ({"model": "0.pt", "device": "toaster"}, "device 'toaster' cannot be used here"),
        ({"model": "0.pt", "threshold": 0.0}, "threshold 0.0: give a probability between 0 and 1"),
        ({"model": "0.pt", "threshold": 1.5}, "threshold 1.5"),
    ],
)
def test_what_cannot_be_used_is_told(weights, arguments, message):
    arguments = {**arguments, "model": weights / arguments["model"]}
    with pytest.raises(AngioSegError, match=message):
        Segmenter(**{"device": "cpu", **arguments})
