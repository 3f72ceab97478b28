"""What POST /train/angioseg refuses, and what is told of trainings that never were."""

import pytest


@pytest.mark.parametrize(
    ("model", "params", "status", "line"),
    [
        ("angioseg", {}, 400, "Training needs labelled frames in two cines or more"),
        ("angioseg", {"client_id": "slicer", "start": ["last", "first"]}, 400, "Training needs labelled frames"),
        ("other", {}, 404, "There is no model 'other' to train; there is: angioseg."),
        ("angioseg", {"max_epochs": 0}, 400, "`max_epochs` must be a whole number from 1 to 10000, not '0'."),
        ("angioseg", {"max_epochs": 1.5}, 400, "`max_epochs` must be a whole number"),
        ("angioseg", {"max_epochs": True}, 400, "`max_epochs` must be a whole number"),
        ("angioseg", {"max_epochs": 10**400}, 400, "`max_epochs` must be a whole number"),
        ("angioseg", {"learning_rate": "fast"}, 400, "`learning_rate` must be a number from 1e-07 to 1, not 'fast'."),
        ("angioseg", {"crop": [64, 64]}, 400, "`crop` must be a whole number from 64 to 2048"),
        ("angioseg", {"val_split": None}, 400, "`val_split` must be a number from 0 to 0.5"),
        ("angioseg", {"start": "middle"}, 400, '`start` must be "last" or "first", not \'middle\'.'),
        ("angioseg", {"start": {}}, 400, "`start` must be"),
        ("angioseg", {"accept_worse": "yes"}, 400, "`accept_worse` must be true or false."),
        ("angioseg", [1], 422, "Input should be a valid dictionary"),
    ],
)
def test_a_training_that_cannot_be_is_refused_in_one_line(server, model, params, status, line):
    reply = server.send("POST", f"/train/{model}", json=params)
    assert reply.status_code == status
    assert line in reply.json()["detail"]
    assert "\n" not in reply.json()["detail"]


@pytest.mark.parametrize(
    ("query", "line"),
    [("", "Nothing was trained so far."), ("?all=true", "Nothing was"), ("?check_if_running=true", "No training is")],
)
def test_no_training_is_told_of(server, query, line):
    reply = server.send("GET", f"/train/{query}")
    assert (reply.status_code, reply.json()["detail"][: len(line)]) == (404, line)


def test_stopping_nothing_is_no_error(server):
    reply = server.send("DELETE", "/train/")
    assert (reply.status_code, reply.json()) == (200, None)


def test_information_offers_the_training(server):
    info = server.send("GET", "/info/").json()
    assert info["trainers"]["angioseg"]["config"]["max_epochs"] == 20
    assert info["train_stats"]["angioseg"] == {"version": "0.1.0", "trained_versions": 0}
