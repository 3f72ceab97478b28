"""Video cines: every frame, real times, grey at full range, broken tails."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from angioseg.cine import CineError, read_cine


@pytest.fixture
def write_video(tmp_path):
    """Encodes frames (T, H, W) or (T, H, W, 3); ``pts`` in ms, else ``fps`` frames a second."""

    def write(frames, name, codec, pixel_format, fps=15, pts=None, container_options=None, **options) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w", options=container_options or {}) as container:
            stream = container.add_stream(codec, rate=fps, options=options)
            stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixel_format
            if pts is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            for t, picture in enumerate(frames):
                if frames.ndim == 4:
                    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                else:
                    kind = "gray16le" if frames.dtype == np.uint16 else "gray"
                    frame = av.VideoFrame.from_ndarray(picture, format=kind)
                if pts is not None:
                    frame.pts, frame.time_base = pts[t], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "dtype"),
    [
        ("cine.mkv", "ffv1", "gray", "uint8"),
        ("cine.mkv", "ffv1", "gray10le", "uint16"),
        ("cine.mkv", "ffv1", "gray12le", "uint16"),
        ("cine.mkv", "ffv1", "gray16le", "uint16"),
        ("cine.avi", "ffv1", "gray", "uint8"),
        ("cine.mov", "png", "gray", "uint8"),
        ("cine.mov", "png", "gray16be", "uint16"),
        ("cine.mkv", "ffv1", "bgr0", "uint8"),
        ("cine.avi", "rawvideo", "bgr24", "uint8"),
    ],
)
def test_lossless_video_is_exact(name, codec, pixel_format, dtype, write_video, tmp_path):
    bits = int("".join(filter(str.isdigit, pixel_format)) or 8) if pixel_format.startswith("gray") else 8
    frames = np.random.default_rng(1).integers(0, 2**bits, (7, 32, 48)).astype(dtype)
    if pixel_format in ("bgr0", "bgr24"):
        path = write_video(np.repeat(frames[..., None], 3, axis=-1), name, codec, pixel_format)
    else:
        path = write_native(tmp_path / name, codec, pixel_format, frames)
    cine = read_cine(path)
    assert cine.frames.dtype == dtype
    np.testing.assert_array_equal(cine.frames, frames)
    assert cine.times_source == "container"
    assert cine.warnings == ()


def test_metadata_that_is_no_text_does_not_matter(write_video):
    path = write_video(np.zeros((3, 32, 48), np.uint8), "cine.mp4", "mpeg4", "yuv420p")
    content = path.read_bytes()
    assert b"Lavf" in content  # who wrote it
    path.write_bytes(content.replace(b"Lavf", b"\xff\xfe\xe9\xff"))
    assert read_cine(path).shape == (3, 32, 48)


def write_native(path: Path, codec: str, pixel_format: str, frames: np.ndarray) -> Path:
    """Puts the numbers into the planes themselves: no conversion may scale them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=15)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], pixel_format
        for picture in frames:
            frame = av.VideoFrame(frames.shape[2], frames.shape[1], pixel_format)
            content = picture.astype(picture.dtype.newbyteorder(">" if pixel_format.endswith("be") else "<"))
            plane = frame.planes[0]
            padded = np.zeros((frames.shape[1], plane.line_size), np.uint8)
            padded[:, : content.shape[1] * content.itemsize] = content.view(np.uint8).reshape(len(content), -1)
            plane.update(padded.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "options"),
    [
        ("cine.mp4", "libx264", "yuv420p", {"crf": "8"}),
        ("cine.mov", "libx264", "yuv444p", {"crf": "8"}),
        ("cine.mp4", "mpeg4", "yuv420p", {"q": "2", "b": "20000000"}),
        ("cine.avi", "mjpeg", "yuvj420p", {"b": "20000000"}),
        ("cine.wmv", "wmv2", "yuv420p", {"b": "20000000"}),
        ("cine.mkv", "libx264", "yuv420p10le", {"crf": "8"}),
    ],
)
def test_every_frame_at_full_range(name, codec, pixel_format, options, write_video, moving_pattern):
    frames = moving_pattern(count=40, rows=64, columns=96, low=0, high=255)
    cine = read_cine(write_video(frames, name, codec, pixel_format, **options))
    assert cine.shape == frames.shape
    scale = 255 / 1023 if cine.frames.dtype == np.uint16 else 1
    error = np.abs(cine.frames * scale - frames.astype(float))
    assert error.mean() < 2
    assert cine.frames.min() * scale < 8
    assert cine.frames.max() * scale > 247
    # Were a frame lost or twice there, the pattern would be a frame off.
    assert error.mean(axis=(1, 2)).max() < 4
    assert cine.times_source == "container"
    np.testing.assert_allclose(cine.times_ms, np.arange(40) * 1000 / 15, atol=1)
    assert cine.warnings == ()
    assert cine.name == "cine"


def test_presentation_times_are_the_real_ones(write_video, moving_pattern):
    pts = [0, 66, 133, 300, 340, 341, 900, 1000]
    path = write_video(moving_pattern(count=8, rows=64), "cine.mkv", "libx264", "yuv420p", fps=1000, pts=pts)
    np.testing.assert_allclose(read_cine(path).times_ms, pts, atol=0.5)


def test_colour_is_told(write_video):
    photo = (
        np.random.default_rng(0).integers(0, 255, (4, 4, 6, 3)).astype(np.uint8).repeat(16, axis=1).repeat(16, axis=2)
    )
    cine = read_cine(write_video(photo, "cine.mp4", "libx264", "yuv420p"))
    assert any("probably not an X-ray angiogram" in line for line in cine.warnings)


@pytest.mark.parametrize(
    ("name", "codec", "container_options"),
    [
        ("cine.mp4", "libx264", {"movflags": "faststart"}),
        ("cine.avi", "mpeg4", {}),
        ("cine.wmv", "wmv2", {}),
        ("cine.mkv", "libx264", {}),
    ],
)
def test_broken_tail_leaves_the_good_frames(name, codec, container_options, write_video, moving_pattern):
    frames = moving_pattern(count=60, rows=64, columns=96)
    path = write_video(frames, name, codec, "yuv420p", container_options=container_options, b="4000000")
    whole = read_cine(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(0.7 * len(content))])
    cine = read_cine(path)
    assert 20 < cine.num_frames < 60
    np.testing.assert_array_equal(cine.frames, whole.frames[: cine.num_frames])
    assert any("video is broken" in line for line in cine.warnings)


def test_damaged_bytes_leave_the_frames_before_them(write_video, moving_pattern):
    frames = moving_pattern(count=60, rows=64, columns=96)
    path = write_video(frames, "cine.mp4", "libx264", "yuv420p", b="4000000")
    whole = read_cine(path)
    content = bytearray(path.read_bytes())
    start = int(0.6 * len(content))
    content[start : start + 3000] = b"\x5a" * 3000
    path.write_bytes(bytes(content))
    cine = read_cine(path)
    assert 10 < cine.num_frames < 60
    np.testing.assert_array_equal(cine.frames, whole.frames[: cine.num_frames])
    assert any("video is broken" in line for line in cine.warnings)


CONCATENATION = b"ffconcat version 1.0\nfile other.mp4"
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.mp4\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "content", [b"this is not a video", bytes(5000), PLAYLIST, b"ffconcat version 1.0\nfile a.mp4"]
)
@pytest.mark.parametrize("name", ["cine.mp4", "cine.avi", "cine.wmv", "cine.mov"])
def test_what_is_no_video_is_refused(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CineError, match="cannot be opened as a video"):
        read_cine(path)


def test_video_without_its_index_is_refused(write_video, moving_pattern):
    path = write_video(moving_pattern(count=30, rows=64), "cine.mp4", "libx264", "yuv420p")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(CineError, match="cut short"):
        read_cine(path)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "cine.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(CineError, match="holds no video"):
        read_cine(path)
