"""Decoded cines are kept while they fit and while their file is the same."""

import threading
from concurrent.futures import ThreadPoolExecutor

import imageio.v3 as imageio
import numpy as np
import pytest
from angioseg.cine import Cine, CineError, read_cine, write_cine
from lib.cines import CineCache


def write(path, value: int, frames: int = 2):
    pixels = np.full((frames, 40, 40), value, np.uint8)
    if path.suffix:
        write_cine(path, Cine(frames=pixels, times_ms=np.arange(frames) * 66.0))
    else:
        (path / "images").mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(pixels):
            imageio.imwrite(path / "images" / f"{number}.png", frame)
    return str(path)


@pytest.mark.parametrize("name", ["cine.nrrd", "folder"])
def test_a_cine_is_decoded_once_until_it_changes(tmp_path, name):
    cache = CineCache(max_bytes=1 << 20)
    path = write(tmp_path / name, 1)
    first = cache.read(path)
    assert cache.read(path) is first
    write(tmp_path / name, 2, frames=3)
    assert (cache.read(path).frames == 2).all()


def test_the_least_recently_used_goes_first(tmp_path):
    cache = CineCache(max_bytes=2 * 3200)
    a, b, c = (write(tmp_path / f"{name}.nrrd", 1) for name in "abc")
    kept, dropped = cache.read(a), cache.read(b)
    cache.read(a)
    cache.read(c)
    assert cache.read(a) is kept
    assert cache.read(b) is not dropped


def test_a_cine_that_is_kept_does_not_wait_for_the_decoding_of_another(tmp_path, monkeypatch):
    cache = CineCache(max_bytes=1 << 20)
    kept, other = write(tmp_path / "a.nrrd", 1), write(tmp_path / "b.nrrd", 1)
    first = cache.read(kept)
    begun, go_on = threading.Event(), threading.Event()

    def slowly(path):
        begun.set()
        assert go_on.wait(30)
        return read_cine(path)

    monkeypatch.setattr("lib.cines.read_cine", slowly)
    with ThreadPoolExecutor() as pool:
        decoding = [pool.submit(cache.read, other) for _ in range(2)]
        assert begun.wait(30)
        try:
            assert pool.submit(cache.read, kept).result(timeout=20) is first
        finally:
            go_on.set()
        assert decoding[0].result() is decoding[1].result()


def test_what_does_not_fit_is_not_kept(tmp_path):
    cache = CineCache(max_bytes=100)
    path = write(tmp_path / "cine.nrrd", 1)
    assert cache.read(path) is not cache.read(path)


@pytest.mark.parametrize("name", ["cine.nrrd", "folder"])
def test_a_file_that_is_gone_is_an_error_in_one_line(tmp_path, name):
    cache = CineCache(max_bytes=1 << 20)
    cache.read(write(tmp_path / name, 1))
    (tmp_path / name).rename(tmp_path / "elsewhere")
    with pytest.raises(CineError, match=rf"{name}: cannot be read: No such file or directory$"):
        cache.read(str(tmp_path / name))


def test_an_unreadable_file_is_an_error_each_time(tmp_path):
    (tmp_path / "cine.nrrd").write_bytes(b"NRRD0004\n")
    cache = CineCache(max_bytes=100)
    for _ in range(2):
        with pytest.raises(CineError, match=r"cine\.nrrd"):
            cache.read(str(tmp_path / "cine.nrrd"))
