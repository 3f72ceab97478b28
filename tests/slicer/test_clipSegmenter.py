"""A cine segmented range after range, into a real scene, by a real server on the loopback."""

import threading

import numpy as np
import pytest
import slicer
from AngioSegLib.client import Client
from AngioSegLib.clipSegmenter import ClipSegmenter, rangesAround
from AngioSegLib.errors import (
    AngioSegLibError,
    BadReply,
    CineUnusable,
    RequestRefused,
    ServerAbsent,
    ServerTimeout,
    SessionLost,
)
from AngioSegLib.segmentation import createSegmentation
from AngioSegLib.worker import Worker
from hypothesis import given
from hypothesis import strategies as st


def bright(frames: np.ndarray) -> np.ndarray:
    return (frames > np.median(frames)).astype(np.uint8)


@pytest.fixture
def segmenter(makeCine, server):
    cine = makeCine(10, spacing=(0.3, 0.2), pixelSizeSource="imager")
    segmenter = ClipSegmenter(cine, Client(server.url, readTimeout=5), createSegmentation(cine), chunkSize=4)
    segmenter.cine, segmenter.masks = cine, segmenter._segmentation
    yield segmenter
    segmenter.close()


def ranges(server) -> list[list[int]]:
    return [params["frames"] for _, path, params in server.asked if path.startswith("/infer") and params["frames"]]


def finish(segmenter):
    segmenter.start()
    while segmenter.process(wait=0.05):
        pass


def test_all_frames_with_progress_and_key_frames(segmenter, server):
    segmenter.cine.browser.SetSelectedItemNumber(5)
    told = []
    keyFrames = segmenter.run(progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert told == sorted(told)
    # From the frame the user looks at outwards.
    assert ranges(server) == [[4, 7], [0, 3], [8, 9]]
    expected = bright(segmenter.cine.frames())
    np.testing.assert_array_equal(segmenter.masks.mask(), expected)
    assert segmenter.masks.segmentedFrames() == list(range(10))
    assert segmenter.cine.currentFrame == 5
    area = expected.sum(axis=(1, 2))
    assert {key["frame"] for key in keyFrames} <= set(np.flatnonzero(area >= np.sort(area)[-2]).tolist())
    assert keyFrames == segmenter.keyFrames
    assert sorted(segmenter.measures) == list(range(10))
    assert segmenter.model["name"] == "angioseg"
    assert segmenter.warnings == ["it is a test"]
    image = server.uploads[0]
    np.testing.assert_array_equal(image.array, segmenter.cine.frames())
    assert image.spacing == (0.3, 0.2)


def test_a_part_then_the_rest_uploads_once_and_ranks_all(segmenter, server):
    segmenter.run(first=2, last=3)
    assert segmenter.masks.segmentedFrames() == [2, 3]
    segmenter.run(first=6, last=6)
    assert segmenter.masks.segmentedFrames() == [2, 3, 6]
    assert len(server.uploads) == 1
    assert [measure["frame"] for measure in server.asked[-1][2]["measures"]] == [2, 3, 6]
    segmenter.close()
    assert server.sessions == {}


def test_a_threshold_is_passed_on(segmenter, server):
    segmenter.run(first=0, last=0, threshold=0.25)
    assert server.asked[1][2] == {"frames": [0, 0], "threshold": 0.25}


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (3, 2), (0, 10)])
def test_frames_that_are_not_there(segmenter, server, first, last):
    with pytest.raises(CineUnusable, match="0 to 9"):
        segmenter.start(first, last)
    assert not segmenter.running
    assert server.asked == []


def test_only_one_run_at_a_time(segmenter):
    segmenter.start()
    with pytest.raises(RuntimeError, match="running already"):
        segmenter.start()


def test_the_scene_is_touched_on_the_main_thread_only(segmenter):
    threads = set()
    segmenter.masks.sequence.AddObserver("ModifiedEvent", lambda *_: threads.add(threading.get_ident()))
    segmenter.run()
    assert threads == {threading.get_ident()}


def test_a_lost_session_is_uploaded_again(segmenter, server):
    def forget(handler, method, path):
        if len(ranges(server)) == 2 and len(server.uploads) == 1:
            server.sessions.clear()

    server.rude = forget
    segmenter.run()
    assert len(server.uploads) == 2
    np.testing.assert_array_equal(segmenter.masks.mask(), bright(segmenter.cine.frames()))


def test_a_server_that_always_forgets_is_not_asked_for_ever(segmenter, server):
    def forget(handler, method, path):
        if len(ranges(server)) >= 2:
            server.sessions.clear()

    server.rude = forget
    with pytest.raises(SessionLost, match="Upload the cine again"):
        segmenter.run()
    assert segmenter.masks.segmentedFrames() == [0, 1, 2, 3]
    assert len(server.uploads) == 2


def secondRange(server, reaction):
    def rude(handler, method, path):
        if len(ranges(server)) == 2:
            return reaction(handler)

    server.rude = rude


@pytest.mark.parametrize(
    ("kind", "reaction"),
    [
        (RequestRefused, lambda server: lambda handler: server.json(handler, 503, {"detail": "stopping"}) or True),
        (BadReply, lambda server: lambda handler: server.json(handler, 200, {}) or True),
        (ServerAbsent, lambda server: lambda handler: True),
        (ServerTimeout, lambda server: lambda handler: threading.Event().wait(0.6) or True),
        # Another cine's size, and other frames than asked for.
        (BadReply, lambda server: lambda handler: server.infer(handler, np.zeros((10, 3, 3), np.uint8), 0, 3) or True),
        (BadReply, lambda server: lambda handler: server.infer(handler, np.zeros((10, 7, 9), np.uint8), 8, 9) or True),
    ],
    ids=["refused", "not agreed", "hung up", "slow", "size", "frames"],
)
def test_an_error_half_way_keeps_the_finished_frames(makeCine, server, kind, reaction):
    cine = makeCine(10)
    segmenter = ClipSegmenter(cine, Client(server.url, readTimeout=0.3), createSegmentation(cine), 4)
    secondRange(server, reaction(server))
    finish(segmenter)
    assert isinstance(segmenter.error, kind)
    assert not segmenter.running
    assert (segmenter.done, segmenter.total, segmenter.keyFrames) == (4, 10, [])
    assert segmenter._segmentation.segmentedFrames() == [0, 1, 2, 3]
    np.testing.assert_array_equal(segmenter._segmentation.mask()[:4], bright(cine.frames())[:4])
    # And the next try goes through.
    server.rude = None
    segmenter.run()
    assert segmenter._segmentation.segmentedFrames() == list(range(10))
    segmenter.close()


def test_nobody_there(makeCine, freeUrl):
    cine = makeCine(3)
    segmenter = ClipSegmenter(cine, Client(freeUrl), createSegmentation(cine))
    with pytest.raises(ServerAbsent):
        segmenter.run()
    assert segmenter._segmentation.segmentedFrames() == []


def test_a_fault_in_the_worker_is_told_not_swallowed(segmenter):
    segmenter._client.upload = None
    with pytest.raises(AngioSegLibError, match="fault"):
        segmenter.run()


def test_cancel_keeps_the_finished_frames_and_returns_at_once(segmenter, server):
    inSecond, goOn = threading.Event(), threading.Event()

    def hold(handler):
        inSecond.set()
        goOn.wait(5)

    secondRange(server, hold)
    segmenter.start()
    while segmenter.done < 4:
        segmenter.process()
    assert inSecond.wait(5)
    segmenter.cancel()
    assert (segmenter.running, segmenter.cancelled, segmenter.error) == (False, True, None)
    goOn.set()
    # A new run waits for the old worker, and what the old one still got is thrown away.
    segmenter.run(first=8, last=9)
    assert segmenter.masks.segmentedFrames() == [0, 1, 2, 3, 8, 9]
    assert ranges(server) == [[0, 3], [4, 7], [8, 9]]
    assert not segmenter.cancelled


def test_cancel_from_the_progress(segmenter, server):
    goOn = threading.Event()
    secondRange(server, lambda handler: goOn.wait(5) and False)

    class Stop(Exception):
        pass

    def stop(done, total):
        raise Stop

    with pytest.raises(Stop):
        segmenter.run(progress=stop)
    assert not segmenter.running
    assert segmenter.cancelled
    assert segmenter.masks.segmentedFrames() == [0, 1, 2, 3]
    goOn.set()


@pytest.mark.parametrize("close", ["masks removed", "scene cleared"])
def test_the_scene_is_closed_meanwhile(segmenter, close):
    segmenter.start()
    if close == "masks removed":
        slicer.mrmlScene.RemoveNode(segmenter.masks.sequence)
    else:
        slicer.mrmlScene.Clear()
    while segmenter.process(wait=0.05):
        pass
    assert segmenter.cancelled
    assert segmenter.error is None


def test_one_thread_speaks_to_the_server(makeCine, server):
    threads = set()
    server.rude = lambda *_: threads.update(t.name for t in threading.enumerate() if t.name.startswith("AngioSeg"))
    cine, worker = makeCine(6), Worker()
    segmenter = ClipSegmenter(cine, Client(server.url), createSegmentation(cine), 2, worker)
    segmenter.start(frames=[1, 2, 5])
    said = []
    worker.ask(lambda: segmenter._client.info(), said.append, said.append)
    while segmenter.process():
        pass
    # What else is asked of the server does not wait for the end of the clip.
    assert [path for _, path, _ in server.asked] == ["/session/", "/infer/angioseg", "/info/", *["/infer/angioseg"] * 2]
    assert ranges(server) == [[1, 2], [5, 5]]
    assert segmenter._segmentation.segmentedFrames() == [1, 2, 5]
    assert said[0]["name"] == "AngioSeg"
    assert threads == {"AngioSeg worker"}
    segmenter.close()
    worker.close()


@given(frames=st.sets(st.integers(0, 60), min_size=1), chunk=st.integers(1, 50), start=st.integers(0, 80))
def test_ranges_cover_each_frame_once_nearest_first(frames, chunk, start):
    ranges = rangesAround(frames, chunk, start)
    assert sorted(frame for begin, end in ranges for frame in range(begin, end + 1)) == sorted(frames)
    distance = [min(abs(frame - start) for frame in range(begin, end + 1)) for begin, end in ranges]
    assert distance == sorted(distance)
    assert all(end - begin < chunk for begin, end in ranges)
