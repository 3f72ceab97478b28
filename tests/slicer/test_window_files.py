"""Files that come into the window and go out of it: what is read of them, and that their names name nobody."""

import csv

import numpy as np
import pytest
import slicer
from AngioSegLib.scene import saveScene
from host import reading, says, segmentAll, useProperties
from littleServer import cineImage

useProperties([__name__])


def test_exports_name_nobody(connected, makeCine, tmp_path, server):
    pydicom = pytest.importorskip("pydicom")
    cine = makeCine(10, name="DOE^JANE")
    connected.ui.cineSelector.choose("DOE^JANE")
    segmentAll(connected)
    connected.press("acceptButton")
    connected.ui.folderEdit.text = str(tmp_path / "out")
    for name in ("Masks", "Table", "Picture", "Dicom", "Video"):
        connected.press(f"export{name}Button")
        connected.idle()
    base = connected.ui.nameEdit.text
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {
        f"{base}{ending}" for ending in (".seg.nrrd", ".seq.nrrd", ".csv", "_frame0.png", "_frame0.dcm", ".mp4")
    }
    assert not any(b"DOE" in data for data in files.values())
    (tmp_path / "usual").touch()  # colleagues may read what anybody writes
    usual = (tmp_path / "usual").stat().st_mode
    assert {path.stat().st_mode for path in (tmp_path / "out").iterdir()} == {usual}
    from AngioSegLib.nrrd import readNrrd

    np.testing.assert_array_equal(readNrrd(files[f"{base}.seg.nrrd"]).array, reading(connected).masks.mask())
    rows = list(csv.DictReader(files[f"{base}.csv"].decode().splitlines()))
    assert len(rows) == 10
    assert rows[0]["state"] == "accepted"
    assert {row["key_rank"] for row in rows} == {"", "1", "2"}
    assert rows[3]["area_px"] == str(reading(connected).masks.maskOf(3).sum())
    dataset = pydicom.dcmread(tmp_path / "out" / f"{base}_frame0.dcm")
    assert (dataset.PatientName, dataset.PatientID, dataset.Modality) == ("", "", "OT")
    assert dataset.pixel_array.shape == (7, 9, 3)
    assert files[f"{base}.mp4"] == b"a video"
    assert files[f"{base}_frame0.png"].startswith(b"\x89PNG")
    sequence = slicer.vtkMRMLSequenceNode()
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    storage.SetFileName(str(tmp_path / "out" / f"{base}.seq.nrrd"))
    assert storage.ReadData(sequence)
    assert sequence.GetNumberOfDataNodes() == 10
    assert cine.name == "DOE^JANE"


def test_a_name_that_is_none_is_refused(cine, connected, tmp_path):
    segmentAll(connected)
    connected.ui.folderEdit.text, connected.ui.nameEdit.text = str(tmp_path), "../up"
    connected.press("exportTableButton")
    says(connected, "cannot be a file's name")
    assert not list(tmp_path.glob("*.csv"))


def test_files_and_the_sample_are_read_by_the_server(connected, server, tmp_path):
    from AngioSegLib.nrrd import writeNrrd

    image = cineImage(5, name="LAO 30 CRA 20")
    (tmp_path / "DOE.JANE.seq.nrrd").write_bytes(writeNrrd(image))
    connected.dialogs.foresee("Load a cine", str(tmp_path / "DOE.JANE.seq.nrrd"))
    connected.press("loadButton")
    connected.idle()
    assert server.files[0][0] == "cine.seq.nrrd"
    cine = reading(connected).cine
    np.testing.assert_array_equal(cine.frames(), image.array)
    np.testing.assert_allclose(cine.timesMs(), np.arange(6) * 66.7)
    assert cine.name == "LAO 30 CRA 20"
    # It is in the list of recent files, here and in the next session.
    assert connected.ui.recentCombo.itemText(1) == "DOE.JANE.seq.nrrd"
    connected.ui.recentCombo.currentIndex = 1
    connected.ui.recentCombo.activated.emit(1)
    connected.idle()
    assert len(server.files) == 2
    connected.press("sampleButton")
    connected.idle()
    assert connected.ui.cineSelector.names() == ["LAO 30 CRA 20", "LAO 30 CRA 20_1", "a cine"]


def test_files_of_one_name_are_told_apart_by_their_own(connected, tmp_path):
    from AngioSegLib.nrrd import writeNrrd

    for seed, name in enumerate(("meier.nrrd", "huber.nrrd")):
        (tmp_path / name).write_bytes(writeNrrd(cineImage(seed, name="LAO 30 CRA 20")))
        connected.dialogs.foresee("Load a cine", str(tmp_path / name))
        connected.press("loadButton")
        connected.idle()
        assert connected.ui.cineLabel.text.endswith(f"; from {name}.")
    connected.ui.cineSelector.choose("LAO 30 CRA 20")
    assert connected.ui.cineLabel.text.endswith("; from meier.nrrd.")
    # It may name a patient.
    path = saveScene(slicer.mrmlScene, tmp_path / "saved")
    assert "meier" not in path.read_text()


def test_a_file_dropped_on_the_section_is_loaded(connected, server, tmp_path):
    import qt
    from AngioSegLib.nrrd import writeNrrd

    (tmp_path / "run.nrrd").write_bytes(writeNrrd(cineImage(5, name="dropped")))
    mime = qt.QMimeData()
    mime.setUrls([qt.QUrl.fromLocalFile(str(tmp_path / "run.nrrd"))])
    how = (qt.Qt.CopyAction, mime, qt.Qt.LeftButton, qt.Qt.NoModifier)
    for event in (qt.QDragEnterEvent(qt.QPoint(5, 5), *how), qt.QDropEvent(qt.QPointF(5, 5), *how)):
        qt.QApplication.sendEvent(connected.ui.cineSection, event)
        assert event.isAccepted()
    connected.idle()
    assert reading(connected).cine.name == "dropped"


def test_a_folder_of_frames_is_sent_as_an_archive_without_its_names(connected, server, tmp_path):
    import io
    import zipfile

    (tmp_path / "DOE" / "images").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "DOE" / "images" / f"DOE_{number}.PNG").write_bytes(bytes([number]))
    connected.dialogs.foresee("Load a folder of frames", str(tmp_path / "DOE"))
    connected.press("loadFolderButton")
    connected.idle()
    name, data = server.files[0]
    assert name == "cine.zip"
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {item: archive.read(item) for item in archive.namelist()} == {
            f"00000{number}.png": bytes([number]) for number in range(3)
        }
    says(connected, "cine.zip is not a cine.")


def test_the_scene_is_exported_as_one_file(cine, connected, tmp_path):
    import zipfile

    connected.ui.folderEdit.text = str(tmp_path)
    connected.press("exportSceneButton")
    connected.idle()
    path = tmp_path / f"{connected.ui.nameEdit.text}.mrb"
    assert any(name.endswith(".mrml") for name in zipfile.ZipFile(path).namelist())
