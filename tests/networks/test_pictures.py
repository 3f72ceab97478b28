"""The overlay video, the key frame picture and the table of frames."""

import csv
from itertools import pairwise

import av
import numpy as np
import pytest
from angioseg.atomic import WriteError
from angioseg.cine import Cine
from angioseg.keyframes import FrameMeasure, KeyFrame, measure_frames
from angioseg.pictures import draw_frame, grey_window, save_frames_csv, save_key_frame, save_overlay_video
from PIL import Image


@pytest.fixture
def make():
    """A cine with a dark band that fills frame by frame, its mask, measures and key frames."""

    def build(count=6, rows=96, columns=128, dtype="uint8", times=None, **cine):
        rng = np.random.default_rng(3)
        top = 3000 if dtype == "uint16" else 200
        frames = rng.normal(top * 0.7, top * 0.03, (count, rows, columns))
        mask = np.zeros((count, rows, columns), np.uint8)
        for t in range(1, count):
            mask[t, rows // 2 : rows // 2 + 4, 8 : 8 + (columns - 16) * t // (count - 1)] = 1
        frames[mask > 0] *= 0.4
        times = np.arange(count) * 400.0 if times is None else np.asarray(times, float)
        cine = Cine(frames.astype(dtype), times, "FrameTime", **cine)
        measures = measure_frames(cine.frames, mask, cine.times_ms, range(count))
        keys = [KeyFrame(t, round(t / count, 2), "It shows much.") for t in range(count - 1, 0, -1)]
        return cine, mask, measures, keys

    return build


def is_orange(pixels: np.ndarray) -> np.ndarray:
    """Pixels far from any grey."""
    pixels = pixels.astype(int)
    return pixels[..., 0] - pixels[..., 2] > 60


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        duration = float(stream.duration * stream.time_base)
        return [f.to_ndarray(format="rgb24") for f in frames], [1000 * f.time for f in frames], duration, stream


@pytest.mark.parametrize(
    ("rows", "columns"), [(40, 40), (96, 128), (97, 131), (33, 400), (512, 512), (601, 515), (4, 3)]
)
def test_small_frames_are_enlarged_by_a_whole_number(rows, columns):
    frame = np.arange(rows * columns, dtype=np.uint8).reshape(rows, columns)
    picture = draw_frame(frame, None, (0, 255))
    assert picture.mode == "RGB"
    assert max(picture.size) >= 512
    assert picture.width % columns == 0 and picture.width // columns == picture.height / rows
    if max(rows, columns) >= 512:
        np.testing.assert_array_equal(np.asarray(picture)[..., 0], frame)


@pytest.mark.parametrize("size", [40, 512, 1100])
def test_vessels_are_tinted_and_outlined_and_nothing_else_changes(size):
    frame = np.full((size, size), 120, np.uint8)
    mask = np.zeros_like(frame)
    mask[size // 4 : size // 2, size // 4 : size // 2] = 1
    picture = np.asarray(draw_frame(frame, mask, (0, 255)))
    orange = is_orange(picture)
    inside = np.kron(mask, np.ones((len(picture) // size,) * 2, np.uint8)) > 0
    assert orange[inside].mean() > 0.99
    share = orange.mean() / inside.mean()
    assert 1.0 < share < 1.1  # the outline lies around it
    assert (picture[~orange] == 120).all()
    # The outline is brighter than what it surrounds: it shows without colour.
    grey = picture.mean(-1)
    assert grey[orange & ~inside].min() > grey[inside].max() - 1


@pytest.mark.parametrize(
    ("frames", "window"),
    [
        (np.full((3, 8, 8), 7, np.uint8), (7, 8)),
        (np.full((3, 8, 8), -900, np.int16), (-900, -899)),
        (np.linspace(0, 4000, 3 * 64 * 64).reshape(3, 64, 64).astype(np.uint16), (20, 3980)),
    ],
)
def test_window(frames, window):
    assert grey_window(frames) == pytest.approx(window, abs=2)


def test_a_few_dead_pixels_do_not_darken_the_clip():
    frames = np.random.default_rng(0).integers(500, 1500, (4, 100, 100)).astype(np.uint16)
    frames[:, 0, 0] = 65535
    assert grey_window(frames)[1] < 1600


@pytest.mark.parametrize(("rows", "columns"), [(96, 128), (97, 131), (40, 300), (515, 513)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_video_is_playable_everywhere(make, tmp_path, rows, columns, dtype):
    cine, mask, _, keys = make(count=3, rows=rows, columns=columns, dtype=dtype)
    save_overlay_video(tmp_path / "o.mp4", cine, mask, keys)
    pictures, _, _, stream = decode(tmp_path / "o.mp4")
    assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    assert len(pictures) == 3
    height, width, _ = pictures[0].shape
    assert width % 2 == 0 and height % 2 == 0 and max(width, height) >= 512
    factor = -(-512 // max(rows, columns))
    left = (width - columns * factor) // 2
    vessel = np.kron(mask[2], np.ones((factor, factor))) > 0
    assert is_orange(pictures[2][: rows * factor, left : left + columns * factor])[vessel].mean() > 0.9
    assert not is_orange(pictures[0][: rows * factor]).any()


@pytest.mark.parametrize(
    ("times", "shown", "duration"),
    [
        ([0, 66.667, 133.333, 200], [0, 66.667, 133.333, 200], 0.266667),
        ([0, 33.3, 66.6, 366.6], [0, 33.3, 66.6, 366.6], 0.3999),
        ([0, 40, 40, 80], [0, 40, 41, 81], 0.121),
        ([0, 0, 0, 0], [0, 66.667, 133.333, 200], 0.266667),
        ([0, 100, 90_100, 90_200], [0, 100, 10_100, 10_200], 10.3),
        ([0], [0], 0.066667),
    ],
    ids=["15 a second", "uneven", "two at once", "no times", "a long pause", "one frame"],
)
def test_video_has_the_cines_times(make, tmp_path, times, shown, duration):
    cine, mask, _, _ = make(count=len(times), times=times)
    save_overlay_video(tmp_path / "o.mp4", cine, mask, [])
    _, found, length, _ = decode(tmp_path / "o.mp4")
    assert found == pytest.approx(shown, abs=0.1)
    assert length == pytest.approx(duration, abs=0.002)


def test_video_marks_key_frames_and_frames_not_segmented(make, tmp_path):
    cine, mask, _, _ = make(count=4)
    mask[:] = mask[3]
    save_overlay_video(tmp_path / "o.mp4", cine, mask, [KeyFrame(2, 1.0, "")], frames=range(1, 4))
    pictures, _, _, _ = decode(tmp_path / "o.mp4")
    bottom = 96 * 4
    assert [bool(is_orange(p[:bottom]).any()) for p in pictures] == [False, True, True, True]
    assert [bool(is_orange(p[bottom:]).any()) for p in pictures] == [False, False, True, False]
    lines = [p[bottom:].astype(int) for p in pictures]
    assert all(np.abs(a - b).max() > 100 for a, b in pairwise(lines))  # each has its number and time


@pytest.mark.parametrize("stop_at", [1, 3])
def test_stopping_leaves_no_video(make, tmp_path, stop_at):
    def stop(done, total):
        assert total == 6
        if done == stop_at:
            raise KeyboardInterrupt

    cine, mask, _, keys = make()
    with pytest.raises(KeyboardInterrupt):
        save_overlay_video(tmp_path / "o.mp4", cine, mask, keys, progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("which", ["video", "picture", "table"])
def test_what_cannot_be_written_is_told(make, tmp_path, which):
    cine, mask, measures, keys = make(count=3)
    path = tmp_path / "missing" / "file"
    with pytest.raises(WriteError, match="cannot be written: No such file"):
        if which == "video":
            save_overlay_video(path, cine, mask, keys)
        elif which == "picture":
            save_key_frame(path, cine, mask, keys, measures)
        else:
            save_frames_csv(path, measures, keys, cine)


@pytest.mark.parametrize(("rows", "columns"), [(96, 128), (40, 40), (64, 500), (500, 64), (600, 520)])
def test_key_frame_picture(make, tmp_path, rows, columns):
    cine, mask, measures, keys = make(rows=rows, columns=columns)
    save_key_frame(tmp_path / "k.png", cine, mask, keys, measures)
    picture = np.asarray(Image.open(tmp_path / "k.png"))
    factor = -(-512 // max(rows, columns))
    tall, wide = rows * factor, columns * factor
    edge = (picture.shape[1] - 2 * wide - 4) // 2
    plain, overlay = picture[:tall, edge : edge + wide], picture[:tall, edge + wide + 4 : edge + 2 * wide + 4]
    np.testing.assert_array_equal(plain, draw_frame(cine.frames[5], None, grey_window(cine.frames)))
    np.testing.assert_array_equal(overlay, draw_frame(cine.frames[5], mask[5], grey_window(cine.frames)))
    below = picture[tall:]
    assert (below.min(-1) > 200).any()  # the caption
    strip = is_orange(below)
    quarters = np.array_split(strip, 4, axis=1)
    if columns > 64:
        assert all(quarter.any() for quarter in quarters)  # four further key frames


def test_picture_without_vessels(make, tmp_path):
    cine, mask, _, _ = make()
    measures = measure_frames(cine.frames, mask * 0, cine.times_ms, [2, 3, 4])
    save_key_frame(tmp_path / "k.png", cine, mask * 0, [], measures)
    picture = np.asarray(Image.open(tmp_path / "k.png"))
    np.testing.assert_array_equal(picture[: 96 * 4, :512], draw_frame(cine.frames[3], None, grey_window(cine.frames)))
    assert (picture[96 * 4 :].min(-1) > 200).any()


def test_picture_of_a_flash_shows_it(make, tmp_path):
    cine, mask, _, _ = make()
    mask[[0, 1, 2, 4, 5]] = 0
    measures = measure_frames(cine.frames, mask, cine.times_ms, range(6))
    save_key_frame(tmp_path / "k.png", cine, mask, [], measures)
    picture = np.asarray(Image.open(tmp_path / "k.png"))
    np.testing.assert_array_equal(
        picture[: 96 * 4, 516:1028], draw_frame(cine.frames[3], mask[3], grey_window(cine.frames))
    )


@pytest.mark.parametrize(
    ("source", "spacing", "millimetres"),
    [
        ("calibrated", (0.2, 0.2), ("4.000", "10.000")),
        ("calibrated", (0.2, 0.4), ("8.000", "15.000")),
        ("imager", (0.2, 0.2), None),
        ("unknown", (1.0, 1.0), None),
    ],
)
def test_table(tmp_path, source, spacing, millimetres):
    cine = Cine(np.zeros((3, 8, 8), np.uint8), np.array([0, 66.6667, 133.3]), "FrameTime", spacing, source)
    measures = [FrameMeasure(1, 66.6667, 100, 50.0, 1.5, 0.25), FrameMeasure(2, 133.3, 0, 0.0, 0.0, 0.0)]
    save_frames_csv(tmp_path / "f.csv", measures, [KeyFrame(1, 0.9, "Why, and how.")], cine)
    with open(tmp_path / "f.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "frame": "1",
        "time_ms": "66.667",
        "area_px": "100",
        "length_px": "50.00",
        "contrast": "1.5000",
        "sharpness": "0.2500",
        "rank": "1",
        "score": "0.9",
        **({"area_mm2": millimetres[0], "length_mm": millimetres[1]} if millimetres else {}),
    }
    assert (rows[1]["rank"], rows[1]["score"], rows[1]["area_px"]) == ("", "", "0")
    assert len(rows) == 2
