"""Which cine is worked on, and where it comes from."""

import os
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from AngioSegLib.loading import cineFromNrrd, fileToDecode
from AngioSegLib.panels.panel import Panel
from AngioSegLib.panels.viewing import setWindow

__all__ = ["CinePanel"]

_RECENT = "AngioSeg/recentFiles"
_MOST_RECENT = 8
_FILES = (
    "*.dcm *.dicom *.ima *.mp4 *.m4v *.avi *.wmv *.mov *.mkv *.nrrd *.nii *.nii.gz *.mha *.mhd "
    "*.png *.jpg *.jpeg *.tif *.tiff *.bmp"
)


class CinePanel(Panel):
    """The section "Cine".

    A cine that Slicer's DICOM module loaded is chosen in the list as it is. What Slicer reads wrongly or not at all
    (single frames, uneven frame times, enhanced XA, videos) is read by the server.
    """

    def __init__(self, window):
        super().__init__(window)
        self._sampleSeed = 3
        self._recent: list[str] = []
        self.ui.cineSelector.setMRMLScene(slicer.mrmlScene)
        # The user's choice: when nodes go, or a scene comes, the list shows others by itself.
        self.ui.cineSelector.connect("nodeActivated(vtkMRMLNode*)", self._onNode)
        self.click(self.ui.loadButton, self._chooseFile)
        self.click(self.ui.loadFolderButton, self._chooseFolder)
        self.click(self.ui.sampleButton, self.loadSample)
        self.ui.recentCombo.activated.connect(lambda: self._onRecent())
        self._drop = _DropFilter(self)
        self.ui.cineSection.acceptDrops = True
        self.ui.cineSection.installEventFilter(self._drop)
        self._showRecent()

    def load(self, path: str) -> None:
        """Have a file, or a folder of frames, read by the server and put into the scene."""
        name = Path(path).name
        ending = f"{name}.zip" if os.path.isdir(path) else name

        def loaded(image) -> None:
            self._remember(path)
            self._onLoaded(image, name)

        # A folder of many frames takes a while to read, too.
        self.window.ask(lambda client: client.decode(fileToDecode(path), ending), loaded)
        self.window.say(_("Reading {name} ...").format(name=name))

    def loadSample(self) -> None:
        """Have a cine simulated, another one each time."""
        seed = self._sampleSeed
        self._sampleSeed += 1
        self.window.ask(lambda client: client.sample(seed), self._onLoaded)
        self.window.say(_("Simulating a cine ..."))

    def refresh(self) -> None:
        why = "" if self.connection.ready else _("The server reads it: connect first.")
        self.offer(self.ui.loadButton, why, _("DICOM, video, NRRD or NIfTI; or drop it here."))
        self.offer(self.ui.loadFolderButton, why, _("A folder with the frames as pictures."))
        self.offer(self.ui.sampleButton, why, _("A simulated cine, to try things on."))
        self.offer(self.ui.recentCombo, why, _("Files loaded here before; choose one to load it again."))
        self.ui.cineLabel.text = self._described()

    def onCine(self) -> None:
        self.ui.cineSelector.blockSignals(True)
        self.ui.cineSelector.setCurrentNode(self.reading.cine.proxy if self.reading else None)
        self.ui.cineSelector.blockSignals(False)

    def _described(self) -> str:
        if self.reading is None:
            return _("Cines that Slicer's DICOM module loaded are in the list. Or load a file here, or drop it here.")
        cine = self.reading.cine
        rows, columns = self.reading.masks.size
        times = cine.timesMs()
        parts = [_("{count} frames of {columns} x {rows}").format(count=cine.numFrames, columns=columns, rows=rows)]
        if times[-1] > 0:
            seconds, fps = times[-1] / 1000, 1000 * (cine.numFrames - 1) / times[-1]
            parts.append(_("{seconds:.1f} s, {fps:.1f} frames a second").format(seconds=seconds, fps=fps))
        if not cine.timesKnown:
            parts.append(_("times unknown: load the file here and the server finds them"))
        parts.append(_pixelSize(cine))
        if cine.partners:
            parts.append(_("biplane with {name}").format(name=", ".join(cine.partners)))
        if self.reading.file:
            parts.append(_("from {file}").format(file=self.reading.file))
        return "; ".join(parts) + "."

    def _onLoaded(self, image, file: str = "") -> None:
        cine = cineFromNrrd(image)
        setWindow(cine)
        self.window.message = ""
        self.window.choose(cine)
        if self.reading is not None:
            self.reading.file = file
        self.window.refreshSoon()

    def _onNode(self, node) -> None:
        if node is not (self.reading.cine.proxy if self.reading else None):
            self.window.do(lambda: self._choose(node))

    def _choose(self, node) -> None:
        self.window.chooseNode(node)
        if self.reading is not None:
            self.window.see.show()

    def _chooseFile(self) -> None:
        path = qt.QFileDialog.getOpenFileName(
            slicer.util.mainWindow(), _("Load a cine"), "", f"{_('Cines')} ({_FILES});;{_('All files')} (*)"
        )
        if path:
            self.load(path)

    def _chooseFolder(self) -> None:
        path = qt.QFileDialog.getExistingDirectory(slicer.util.mainWindow(), _("Load a folder of frames"))
        if path:
            self.load(path)

    # Files loaded before.

    def _onRecent(self) -> None:
        index = self.ui.recentCombo.currentIndex
        if index > 0:
            path = self._recent[index - 1]
            self.ui.recentCombo.currentIndex = 0
            self.window.do(lambda: self.load(path))

    def _remember(self, path: str) -> None:
        path = str(Path(path).resolve())
        recent = [path, *(other for other in self._recent if other != path)][:_MOST_RECENT]
        qt.QSettings().setValue(_RECENT, "\n".join(recent))
        self._showRecent()

    def _showRecent(self) -> None:
        kept = qt.QSettings().value(_RECENT, "") or ""
        self._recent = [path for path in kept.split("\n") if path and os.path.exists(path)]
        self.ui.recentCombo.clear()
        for text in (_("loaded before ..."), *(Path(path).name for path in self._recent)):
            self.ui.recentCombo.addItem(text)


class _DropFilter(qt.QObject):
    """Takes a file that is dropped on the section."""

    def __init__(self, panel: CinePanel):
        qt.QObject.__init__(self)
        self._panel = panel

    def eventFilter(self, watched, event) -> bool:
        if event.type() == qt.QEvent.DragEnter:
            if self._panel.connection.ready and event.mimeData().hasUrls():
                event.acceptProposedAction()
            return True
        if event.type() == qt.QEvent.Drop:
            paths = [url.toLocalFile() for url in event.mimeData().urls()]
            event.acceptProposedAction()
            self._panel.window.do(lambda: [self._panel.load(path) for path in paths if path])
            return True
        return False


def _pixelSize(cine) -> str:
    rows, columns = cine.spacing
    if cine.pixelSizeSource == "calibrated":
        return _("pixel {rows:.3g} x {columns:.3g} mm (calibrated)").format(rows=rows, columns=columns)
    if cine.pixelSizeSource == "imager":
        return _("lengths in pixels: the file gives the pixel's size at the detector only")
    return _("lengths in pixels: the pixel's size is unknown")
