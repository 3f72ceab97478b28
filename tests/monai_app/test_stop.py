"""The end of the server that all other tests share: these tests must be the last of this folder."""

import threading
import time


def test_stopping_gives_up_what_runs_and_leaves_nothing(server):
    replies = []
    client = threading.Thread(target=lambda: replies.append(server.infer(image="frames")))
    client.start()
    time.sleep(0.5)
    server.stop()
    client.join()
    assert [reply.status_code for reply in replies] == [503]
    assert replies[0].json() == {"detail": "The server is stopping."}
    assert list(server.home.iterdir()) == []
