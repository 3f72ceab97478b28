"""The end of a server."""

import threading
import time

from angioseg.simulation import simulate_clip, write_xa_dicom


def test_stopping_gives_up_what_runs_and_leaves_nothing(run_server, tmp_path):
    (tmp_path / "studies").mkdir()
    write_xa_dicom(tmp_path / "studies" / "run.dcm", simulate_clip(5, frames=48, size=(64, 64)))
    replies = []
    with run_server(tmp_path / "studies") as server:
        client = threading.Thread(target=lambda: replies.append(server.infer(image="run")))
        client.start()
        while not server.send("GET", "/info/").json()["models"]["angioseg"]["frames_segmented"]:
            time.sleep(0.05)
        server.stop()
        client.join()
        assert [reply.status_code for reply in replies] == [503]
        assert replies[0].json() == {"detail": "The server is stopping."}
        assert list(server.home.iterdir()) == []
