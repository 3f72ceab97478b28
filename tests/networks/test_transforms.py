"""Transforms for cines."""

import numpy as np
import pytest
import torch
from angioseg.cine import Cine, CineReader, read_label, write_cine
from angioseg.errors import AngioSegError
from angioseg.transforms import (
    RandNeighborsd,
    RemoveSmallComponents,
    RemoveSmallComponentsd,
    SaveLabeld,
    StackNeighborsd,
    neighbor_indices,
)
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Invertd, LoadImaged, Resized


@pytest.mark.parametrize(
    ("first", "last", "neighbors", "num_frames", "expected"),
    [
        (0, 0, 0, 1, [0]),
        (0, 0, 2, 1, [0, 0, 0, 0, 0]),
        (0, 2, 1, 3, [0, 0, 1, 2, 2]),
        (5, 5, 1, 9, [4, 5, 6]),
        (7, 8, 2, 9, [5, 6, 7, 8, 8, 8]),
    ],
)
def test_neighbors_repeat_the_end_frames(first, last, neighbors, num_frames, expected):
    assert neighbor_indices(first, last, neighbors, num_frames).tolist() == expected


@pytest.mark.parametrize(("first", "last"), [(-1, 0), (0, 5), (3, 2)])
def test_frames_outside_the_clip_are_refused(first, last):
    with pytest.raises(ValueError, match=f"frames {first} to {last} do not lie in a clip of 5 frames"):
        neighbor_indices(first, last, 1, 5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_a_label_is_saved_beside_a_cine_of_any_depth(dtype, tmp_path):
    frames = np.arange(3 * 4 * 5, dtype=dtype).reshape(3, 4, 5)
    write_cine(tmp_path / "run.nrrd", Cine(frames, np.array([0.0, 40, 90]), "FrameTime"))
    load = LoadImaged(keys="image", reader=CineReader, dtype=None, ensure_channel_first=True)
    mask = torch.from_numpy(frames > 7)[None].byte()
    save = SaveLabeld("pred", tmp_path / "out")
    save({**load({"image": tmp_path / "run.nrrd"}), "pred": mask})
    saved, annotated = read_label(tmp_path / "out" / "run_seg.nrrd")
    np.testing.assert_array_equal(saved, frames > 7)
    assert annotated == [0, 1, 2]
    save({**load({"image": tmp_path / "run.nrrd"}), "pred": mask})
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run_seg.nrrd"]
    (tmp_path / "other").mkdir()
    write_cine(tmp_path / "other" / "run.nrrd", Cine(frames, np.array([0.0, 40, 90]), "FrameTime"))
    save({**load({"image": tmp_path / "other" / "run.nrrd"}), "pred": 0 * mask})
    assert not read_label(tmp_path / "out" / "run_2_seg.nrrd")[0].any()
    assert read_label(tmp_path / "out" / "run_seg.nrrd")[0].any()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_mask_of_an_earlier_run_is_replaced_only_when_asked(overwrite, tmp_path):
    """Two patients' exports may both call a cine IM0."""
    write_cine(tmp_path / "IM0.nrrd", Cine(np.zeros((3, 4, 5), np.uint8), np.array([0.0, 40, 90]), "FrameTime"))
    (tmp_path / "IM0_seg.nrrd").write_bytes(b"another's")
    item = LoadImaged(keys="image", reader=CineReader, dtype=None, ensure_channel_first=True)(
        {"image": tmp_path / "IM0.nrrd"}
    )
    save = SaveLabeld("pred", tmp_path, overwrite=overwrite)
    if overwrite:
        save({**item, "pred": torch.ones(1, 3, 4, 5).byte()})
        assert read_label(tmp_path / "IM0_seg.nrrd")[0].all()
        return
    with pytest.raises(AngioSegError, match=r"IM0_seg\.nrrd: is there already; give another --output_dir"):
        save({**item, "pred": torch.ones(1, 3, 4, 5).byte()})
    assert (tmp_path / "IM0_seg.nrrd").read_bytes() == b"another's"


@given(st.integers(1, 40), st.integers(0, 4), st.data())
def test_a_window_has_its_frame_in_the_centre(num_frames, neighbors, data):
    frame = data.draw(st.integers(0, num_frames - 1))
    clip = torch.arange(num_frames).view(-1, 1, 1).expand(-1, 2, 3)
    out = StackNeighborsd("image", neighbors)({"image": clip, "frame": frame})["image"]
    assert out.shape == (2 * neighbors + 1, 2, 3)
    assert (out[neighbors] == frame).all()
    assert set((out[1:] - out[:-1]).unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize(
    ("reverse", "still", "expected"),
    [
        (0.0, 0.0, [0, 1, 2, 3, 4]),
        (1.0, 0.0, [4, 3, 2, 1, 0]),
        (0.0, 1.0, [2, 2, 2, 2, 2]),
    ],
)
def test_neighbors_go_backwards_or_stand_still(kind, reverse, still, expected):
    window = kind(np.arange(5, dtype=np.uint8).reshape(5, 1, 1))
    out = RandNeighborsd("image", reverse, still)({"image": window})["image"]
    assert type(out) is type(window) and out.dtype == window.dtype
    assert out.ravel().tolist() == expected


def test_the_centre_frame_stays_whatever_its_neighbors_do():
    transform = RandNeighborsd(["image", "other"], 0.4, 0.3).set_random_state(0)
    seen = set()
    for _ in range(50):
        out = transform({"image": np.arange(3), "other": np.arange(3)})
        assert out["image"][1] == 1 and out["image"].tolist() == out["other"].tolist()
        seen.add(tuple(out["image"].tolist()))
    assert seen == {(0, 1, 2), (2, 1, 0), (1, 1, 1)}


@pytest.mark.parametrize(("reverse", "still"), [(-0.1, 0.5), (0.5, -0.1), (0.7, 0.4)])
def test_probabilities_that_are_none_are_refused(reverse, still):
    with pytest.raises(ValueError, match="probabilities"):
        RandNeighborsd("image", reverse, still)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_windows_keep_type_and_dtype(kind):
    clip = kind(np.zeros((4, 5, 6), np.uint8))
    out = StackNeighborsd(["image", "label"], 1)({"image": clip, "label": clip, "frame": 3})
    assert type(out["image"]) is type(clip) and out["label"].dtype == clip.dtype


@pytest.mark.parametrize(
    ("fraction", "areas", "kept"),
    [
        (0.0, [1, 4, 40], [1, 4, 40]),
        (0.0004, [1, 4, 40], [4, 40]),  # of 100 x 100: components under 4 pixels go
        (0.0041, [1, 40, 41], [41]),
        (0.5, [40], []),
    ],
)
def test_components_small_for_the_frame_go(fraction, areas, kept):
    mask = torch.zeros(2, 100, 100, dtype=torch.uint8)
    for row, area in enumerate(areas):
        mask[0, 10 * row, :area] = 1
    out = RemoveSmallComponentsd("pred", fraction)({"pred": mask})["pred"]
    assert out.dtype == mask.dtype and out.shape == mask.shape
    assert [int(n) for n in out[0].sum(1) if n] == kept
    assert out[1].sum() == 0


def test_components_are_those_of_one_frame_and_touch_at_corners():
    mask = torch.zeros(2, 10, 10)
    mask[0, [0, 1, 2], [0, 1, 2]] = 1  # three pixels, joined by corners
    mask[1, 0, 0] = 1  # lies on the first in time, but is alone in its frame
    out = RemoveSmallComponents(0.02)(mask)
    assert out[0].sum() == 3 and out[1].sum() == 0


def test_monais_resize_treats_frames_as_channels_and_comes_back():
    clip = MetaTensor(
        torch.arange(70.0).view(1, -1, 1) + torch.arange(50.0) * torch.tensor([[[1.0]], [[2.0]], [[3.0]]])
    )
    resize = Resized("image", (44, 44), mode="bilinear", anti_aliasing=True)
    data = resize({"image": clip})
    assert data["image"].shape == (3, 44, 44)
    alone = resize({"image": MetaTensor(clip[1:2])})["image"]
    torch.testing.assert_close(alone[0], data["image"][1])
    data["pred"] = MetaTensor(data["image"].as_tensor(), applied_operations=data["image"].applied_operations)
    back = Invertd("pred", resize, "image", nearest_interp=False)(data)["pred"]
    assert back.shape == (3, 70, 50)
    assert (back - clip).abs()[:, 4:-4, 4:-4].max() < 0.2
