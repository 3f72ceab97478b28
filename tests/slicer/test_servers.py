"""Servers that hang, hiccup, are started anew, or are another one by now: what one does is not said of the other."""

import threading
import time

import pytest
import slicer
from host import reading, says, useProperties
from littleServer import cineImage

useProperties([__name__])


def connection(host):
    return host.widget.window.connection


def connectTo(host, url):
    """Without waiting for what was asked before."""
    host.ui.addressEdit.text = url
    host.ui.connectButton.click()
    host.until(lambda: connection(host).state != "connecting", seconds=10)
    host.look()


def sample(frame, why):
    return {"id": "a", "frame": frame, "why": why, "score": 1.0}


@pytest.fixture
def training(connected, server):
    """The server is training."""
    connected.press("trainButton")
    connected.until(lambda: connected.widget.window.train.running)


@pytest.fixture
def held(server):
    """Hold what is asked of the server by a path: ``held("/train")``; the event lets it go."""
    goOn = threading.Event()

    def hold(path):
        server.rude = lambda handler, method, asked: asked.startswith(path) and goOn.wait(20) and False
        return goOn

    yield hold
    goOn.set()


@pytest.mark.parametrize("state", ["connected", "lost"])
def test_what_the_old_server_does_is_not_said_of_the_new_one(half, connected, server, makeServer, freeUrl, state):
    other = makeServer()
    connectTo(connected, other.url)
    if state == "lost":
        other.rude = lambda *_: True  # hangs up
        connected.press("nextSampleButton")
        connected.until(lambda: connection(connected).state == "lost")
    else:
        server.rude = lambda *_: True  # hangs up
    half.set()
    connected.idle()
    assert connection(connected).url == other.url
    assert connection(connected).state == state


def test_a_fault_while_another_server_is_tried_is_not_that_ones(connected, server, makeServer):
    other, goOn, goOnThere = makeServer(), threading.Event(), threading.Event()
    server.rude = lambda *_: goOn.wait(20)  # hangs up, in the end
    connected.press("nextSampleButton")
    other.rude = lambda *_: goOnThere.wait(20) and False
    connected.ui.addressEdit.text = other.url
    connected.press("connectButton")
    goOn.set()
    connected.until(lambda: connection(connected).problem)
    goOnThere.set()
    connected.idle()
    assert (connection(connected).state, connection(connected).url) == ("connected", other.url)


def test_a_server_that_hangs_can_be_tried_again(half, connected, server):
    server.rude = None
    connectTo(connected, server.url)
    assert connection(connected).ready


def test_a_try_that_hangs_can_be_repeated(host, server):
    goOn, asked = threading.Event(), []
    server.rude = lambda *_: asked.append(1) or (len(asked) == 1 and goOn.wait(20) and False)
    host.ui.addressEdit.text = server.url
    host.press("connectButton")
    host.until(lambda: asked)
    host.press("connectButton")
    host.until(lambda: connection(host).ready, seconds=5)
    goOn.set()
    host.idle()
    assert connection(host).state == "connected"


def test_a_cine_is_not_uploaded_again_when_the_server_is_connected_again(cine, connected, server):
    for _ in range(2):
        connected.press("thisFrameButton")
        connected.idle()
        connectTo(connected, server.url)
    assert len(server.uploads) == 1


def test_the_next_sample_is_the_new_servers(held, connected, server, makeServer):
    server.cines, server.samples = {"a": cineImage(1)}, [sample(1, "old")]
    goOn = held("/activelearning")
    connected.press("nextSampleButton")
    other = makeServer()
    other.cines, other.samples = {"a": cineImage(2), "b": cineImage(3)}, [sample(2, "new")]
    connectTo(connected, other.url)
    connected.press("nextSampleButton")
    goOn.set()
    connected.idle()
    assert connected.ui.whyLabel.text == "Frame 2 of a: new"
    assert (reading(connected).cine.frames() == cineImage(2).array).all()


def test_what_is_labelled_is_the_new_servers(held, connected, server, makeServer):
    server.cines = {"a": cineImage(1)}
    goOn = held("/datastore")
    connected.widget.window.learn.askProgress()
    other = makeServer()
    other.cines = {"a": cineImage(2), "b": cineImage(3)}
    connectTo(connected, other.url)
    goOn.set()
    connected.idle()
    assert connected.ui.labelledLabel.text == "Labelled frames: 0, in 0 of 2 cines."


def test_a_training_is_that_of_the_server_that_is_connected(held, training, connected, server, makeServer):
    goOn = held("/train")
    connected.until(lambda: connected.widget.window.train._following)
    other = makeServer()
    other.training = {"status": "RUNNING", "details": [], "progress": {"epoch": 1, "epochs": 5}}
    connectTo(connected, other.url)
    connected.until(lambda: connected.ui.trainingLabel.text == "Epoch 1 of 5")
    server.training = {**server.training, "status": "DONE", "result": {"better": True}}
    goOn.set()
    connected.look()
    other.training = {**other.training, "progress": {"epoch": 2, "epochs": 5}}
    connected.until(lambda: connected.ui.trainingLabel.text == "Epoch 2 of 5", seconds=10)
    assert "A new model" not in connected.ui.nextStepLabel.text


def test_a_video_of_the_old_server_keeps_nobody_from_another(held, cine, connected, makeServer, tmp_path):
    connected.press("thisFrameButton")
    connected.idle()
    connected.ui.folderEdit.text = str(tmp_path)
    goOn = held("/angioseg/overlay")
    connected.press("exportVideoButton")
    connected.until(lambda: not connected.ui.exportVideoButton.enabled)
    connectTo(connected, makeServer().url)
    connected.press("exportVideoButton")
    connected.until(lambda: list(tmp_path.glob("*.mp4")))
    goOn.set()
    connected.idle()


@pytest.mark.parametrize(("failures", "isTold"), [(1, False), (6, True)])
def test_a_training_is_followed_after_answers_that_failed(training, connected, server, monkeypatch, failures, isTold):
    connected.widget.window.train._timer.interval = 20
    page, polls = b"<html>Bad gateway</html>", []

    def rude(handler, method, path):
        polls.append(path)
        return server.answer(handler, 502, page, "text/html") or True if len(polls) <= failures else None

    server.rude = rude
    connected.until(lambda: len(polls) > failures, seconds=10)
    assert ("502" in connected.ui.nextStepLabel.text) == isTold
    server.training = {**server.training, "status": "DONE", "result": {"better": True}}
    connected.until(lambda: connected.ui.trainingLabel.text == "A new model is served.", seconds=10)
    connected.idle()
    assert connection(connected).state == "connected"


@pytest.mark.parametrize("how", ["unseen", "connected again"])
def test_a_training_that_a_restart_killed_is_told(training, connected, server, how):
    if how != "unseen":
        server.rude = lambda *_: True  # hangs up
        connected.ui.connectButton.click()
        connected.idle()
        assert connection(connected).state == "lost"
    server.training, server.rude = None, None
    if how != "unseen":
        connectTo(connected, server.url)
    connected.until(lambda: not connected.widget.window.train.running, seconds=10)
    says(connected, "The server was started anew, and its training is lost. Train again.")
    assert connected.ui.trainButton.enabled


def test_a_training_of_another_server_is_not_lost(training, connected, makeServer):
    connectTo(connected, makeServer().url)
    connected.idle()
    assert "training is lost" not in connected.ui.nextStepLabel.text
    assert connected.ui.trainButton.enabled


@pytest.mark.parametrize("how", ["cine deleted", "scene closed", "module reloaded", "module closed"])
def test_the_server_forgets_a_cine_that_nobody_works_on(cine, connected, server, how):
    connected.press("thisFrameButton")
    connected.idle()
    assert len(server.sessions) == 1
    window = connected.widget.window
    if how == "cine deleted":
        slicer.mrmlScene.RemoveNode(cine.sequence)
    elif how == "scene closed":
        slicer.mrmlScene.Clear()
    elif how == "module reloaded":
        connected.reload()
    else:
        connected.widget.cleanup()
        connected.widget = None
    connected.until(lambda: not server.sessions, seconds=5)
    assert window.readings() == []


def test_a_cine_that_goes_while_it_is_uploaded_is_forgotten_too(cine, connected, server):
    held, goOn = threading.Event(), threading.Event()
    server.rude = lambda handler, method, path: (
        (held.set() or goOn.wait(20)) and False if (method, path) == ("PUT", "/session/") else None
    )
    connected.press("thisFrameButton")
    connected.until(held.is_set)
    slicer.mrmlScene.RemoveNode(cine.sequence)
    connected.look()
    goOn.set()
    connected.idle()
    assert (len(server.uploads), server.sessions) == (1, {})


def test_a_cine_that_goes_says_nothing_of_a_server_that_is_lost(cine, connected, server):
    server.rude = lambda *_: True  # hangs up
    connected.press("thisFrameButton")
    connected.idle()
    slicer.mrmlScene.RemoveNode(cine.sequence)
    connected.idle()
    assert connection(connected).state == "lost"


def test_a_window_that_goes_waits_for_no_server(half, connected):
    begin = time.monotonic()
    connected.widget.cleanup()
    connected.widget = None
    assert time.monotonic() - begin < 5


def test_what_a_log_in_page_answered_is_not_sent(cine, connected, server, tmp_path):
    connected.press("thisFrameButton")
    connected.idle()
    connected.press("acceptButton")
    page = b"<html>Please log in</html>"
    server.rude = lambda handler, method, path: (
        server.answer(handler, 200, page, "text/html") or True
        if path in ("/datastore/label", "/angioseg/overlay")
        else None
    )
    connected.press("submitButton")
    connected.idle()
    says(connected, "Not sent, and still here:")
    assert reading(connected).states.of(0) == "accepted"
    connected.ui.folderEdit.text = str(tmp_path)
    connected.press("exportVideoButton")
    connected.idle()
    says(connected, "sent no video; is there a log-in page before it?")
    assert not list(tmp_path.glob("*.mp4"))
    server.rude = None
    connected.press("exportVideoButton")
    connected.idle()
    assert [frames for frames, _ in server.drawn] == [[0]]


def test_a_frame_that_another_server_has_says_so(cine, connected, server, makeServer):
    connected.press("thisFrameButton")
    connected.idle()
    connected.press("acceptButton")
    connected.press("submitButton")
    connected.idle()
    connected.connect(makeServer().url)
    assert connected.ui.frameStateLabel.text == f"Frame 0: accepted, and sent to {server.url}."
    connected.connect(server.url)
    assert connected.ui.frameStateLabel.text == "Frame 0: accepted and sent."
