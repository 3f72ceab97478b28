"""Files for outside of Slicer."""

from collections.abc import Callable
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from AngioSegLib.client import Client
from AngioSegLib.errors import CineUnusable, ExportError
from AngioSegLib.exporting import checkName, saveBytes, saveDicom, saveMasks, savePicture, saveTable
from AngioSegLib.loading import anonymousName
from AngioSegLib.panels.panel import Panel
from AngioSegLib.reading import Reading
from AngioSegLib.worker import Task

__all__ = ["ExportPanel"]

_FOLDER = "AngioSeg/exportFolder"


class ExportPanel(Panel):
    """The section "Export"."""

    def __init__(self, window):
        super().__init__(window)
        self._drawing: Task | None = None
        self.ui.folderEdit.text = qt.QSettings().value(_FOLDER, str(Path.home()))
        self.ui.folderEdit.editingFinished.connect(lambda: self._rememberFolder())
        self.click(self.ui.folderButton, self._chooseFolder)
        for button, write in (
            (self.ui.exportMasksButton, self._masks),
            (self.ui.exportTableButton, self._table),
            (self.ui.exportPictureButton, self._picture),
            (self.ui.exportDicomButton, self._dicom),
            (self.ui.exportSceneButton, self._scene),
            (self.ui.exportVideoButton, self._video),
        ):
            self.click(button, lambda write=write: self._export(write))

    def onCine(self) -> None:
        self.ui.nameEdit.text = ""
        self.tell(self.ui.exportLabel, "")

    def onServer(self) -> None:
        if self._drawing is not None:
            self._drawing.drop()
            self._drawing = None

    def refresh(self) -> None:
        ui, reading = self.ui, self.reading
        noCine = "" if reading else _("Choose a cine first.")
        none = noCine or ("" if reading.masks.segmentedFrames() else _("No frame is segmented yet."))
        at = reading.cine.currentFrame if reading else 0
        self.offer(ui.exportMasksButton, none, _("NAME.seg.nrrd, all frames in one, and NAME.seq.nrrd, a sequence."))
        self.offer(ui.exportTableButton, none, _("NAME.csv: length, area, contrast and state of each frame."))
        self.offer(ui.exportPictureButton, noCine, _("NAME_frame{frame}.png: the frame on screen.").format(frame=at))
        self.offer(
            ui.exportDicomButton,
            noCine,
            _("NAME_frame{frame}.dcm: the frame on screen as a secondary capture, of nobody.").format(frame=at),
        )
        self.offer(
            ui.exportSceneButton,
            noCine,
            _("NAME.mrb: the whole scene. It holds the patient's name when Slicer's DICOM module loaded the cine."),
        )
        noServer = "" if self.connection.ready else _("The server draws it: connect first.")
        busy = _("The server is drawing.") if self._drawing else ""
        self.offer(ui.exportVideoButton, none or noServer or busy, _("NAME.mp4: the cine with its masks."))

    def _export(self, write: Callable[[Reading, int, str], None]) -> None:
        """Write the cine and frame on screen; where the files have no name yet, it is made of the pixels first."""
        reading, frame = self.reading, self.reading.cine.currentFrame
        given = self.ui.nameEdit.text.strip()
        if given:
            write(reading, frame, checkName(given))
            return
        try:
            frames = reading.uploaded.take()[0]
        except CineUnusable:
            # No server could take them, but what the user made is exported all the same.
            frames = reading.cine.eachFrame()

        def named(name: str) -> None:
            if self.reading is reading:
                self.ui.nameEdit.text = name
            if reading.inScene:
                write(reading, frame, name)

        # The pixels of a long cine take a while to go through.
        self.window.compute(lambda: anonymousName(frames), named)

    def _path(self, name: str) -> Path:
        if not self.ui.folderEdit.text.strip():
            raise ExportError(_("choose a folder to export to"))
        return Path(self.ui.folderEdit.text.strip()) / name

    def _wrote(self, *paths: Path) -> None:
        names = ", ".join(path.name for path in paths)
        self.tell(self.ui.exportLabel, _("Written: {names}").format(names=names))

    def _masks(self, reading: Reading, frame: int, name: str) -> None:
        self._wrote(*saveMasks(self._path(name).parent, name, reading.masks))

    def _table(self, reading: Reading, frame: int, name: str) -> None:
        self._wrote(saveTable(self._path(f"{name}.csv"), reading.cine, reading.record, reading.states))

    def _picture(self, reading: Reading, frame: int, name: str) -> None:
        self._wrote(savePicture(self._path(f"{name}_frame{frame}.png"), reading.cine, reading.masks, frame))

    def _dicom(self, reading: Reading, frame: int, name: str) -> None:
        why = next((key["why"] for key in reading.record.keyFrames if key["frame"] == frame), "")
        path = self._path(f"{name}_frame{frame}.dcm")
        self._wrote(saveDicom(path, reading.cine, reading.masks, frame, why))

    def _scene(self, reading: Reading, frame: int, name: str) -> None:
        path = self._path(f"{name}.mrb")
        with self.window.see.cineOnScreen():
            written = slicer.util.saveScene(str(path))
        if not written:
            raise ExportError(_("{name} cannot be written to {folder}").format(name=path.name, folder=path.parent))
        self._wrote(path)

    def _video(self, reading: Reading, frame: int, name: str) -> None:
        path, uploaded = self._path(f"{name}.mp4"), reading.uploaded
        uploaded.take()
        mask, segmented = reading.masks.mask(), reading.masks.segmentedFrames()

        def draw(client: Client) -> bytes:
            return uploaded.ask(client, lambda id_: client.overlay(id_, mask, segmented))

        def drawn(video: bytes) -> None:
            self._drawing = None
            self._wrote(saveBytes(path, video))

        def failed(error) -> None:
            self._drawing = None
            self.window.say(str(error))

        self._drawing = self.window.ask(draw, drawn, failed)
        self.window.refreshSoon()

    def _chooseFolder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Export to"), self.ui.folderEdit.text)
        if path:
            self.ui.folderEdit.text = path
            self._rememberFolder()

    def _rememberFolder(self) -> None:
        qt.QSettings().setValue(_FOLDER, self.ui.folderEdit.text)
