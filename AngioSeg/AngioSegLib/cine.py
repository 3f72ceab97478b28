"""A cine in a Slicer scene: a sequence of one-slice volumes, its browser, and the proxy volume the user sees.

Made as 3D Slicer's own DICOM image sequence plugin makes them
(Modules/Scripted/DICOMPlugins/DICOMImageSequencePlugin.py), so both kinds work alike everywhere.
"""

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from AngioSegLib.errors import CineUnusable
from AngioSegLib.images import arrayFromImage, fillImage

__all__ = ["PIXEL_SIZE_SOURCES", "CineSequence", "cineFromNode", "createCine"]

PIXEL_SIZE_SOURCES = ("calibrated", "imager", "unknown")

_SOURCE_ATTRIBUTE = "AngioSeg.PixelSizeSource"
_TIMES_ATTRIBUTE = "AngioSeg.FrameTimesMs"
_DTYPES = ("uint8", "uint16", "int16")
# What Slicer's plugin plays at when a file says nothing of time.
_ASSUMED_FPS = 10.0


class CineSequence:
    """A cine that is in the scene. It holds the nodes, and no pixels of its own.

    Args:
        sequence: the vtkMRMLSequenceNode of one-slice volumes.
        browser: the vtkMRMLSequenceBrowserNode that plays it.
    """

    def __init__(self, sequence, browser):
        if not sequence.GetNumberOfDataNodes():
            raise CineUnusable(f"{sequence.GetName()} has no frames; load the cine again")
        if not sequence.GetNthDataNode(0).IsA("vtkMRMLVolumeNode"):
            raise CineUnusable(f"{sequence.GetName()} is not a sequence of images; choose the cine")
        image = sequence.GetNthDataNode(0).GetImageData()
        if image is None or image.GetDimensions()[2] != 1:
            raise CineUnusable(f"{sequence.GetName()} is not a sequence of single images; choose a cine")
        self.sequence = sequence
        self.browser = browser

    @property
    def proxy(self):
        """The volume node that shows the current frame, or None."""
        return self.browser.GetProxyNode(self.sequence)

    @property
    def name(self) -> str:
        return self.sequence.GetName()

    @property
    def numFrames(self) -> int:
        return self.sequence.GetNumberOfDataNodes()

    @property
    def currentFrame(self) -> int:
        """The number, from 0, of the frame the user looks at."""
        value = self.browser.GetMasterSequenceNode().GetNthIndexValue(max(self.browser.GetSelectedItemNumber(), 0))
        # A biplane partner may be the browser's master, so the number goes by way of the time.
        return max(self.sequence.GetItemNumberFromIndexValue(value, False), 0)

    @property
    def partners(self) -> list[str]:
        """Names of the other cines of its browser: the second plane of a biplane pair."""
        sequences = vtk.vtkCollection()
        self.browser.GetSynchronizedSequenceNodes(sequences, True)
        others = [sequences.GetItemAsObject(number) for number in range(sequences.GetNumberOfItems())]
        return [
            other.GetName()
            for other in others
            if other is not self.sequence
            and other.GetNumberOfDataNodes()
            and other.GetNthDataNode(0).IsA("vtkMRMLVolumeNode")
        ]

    @property
    def timesKnown(self) -> bool:
        """False when Slicer found no frame time in the file and numbered the frames instead."""
        return self.sequence.GetIndexUnit() in ("s", "ms")

    @property
    def pixelSizeSource(self) -> str:
        """``"calibrated"``, ``"imager"`` or ``"unknown"``; only a calibrated pixel size may be called mm.

        Slicer's reader takes the spacing at the detector and does not say so; its cines never count as calibrated.
        """
        source = self.sequence.GetAttribute(_SOURCE_ATTRIBUTE)
        if source in PIXEL_SIZE_SOURCES:
            return source
        return "unknown" if self.spacing == (1.0, 1.0) else "imager"

    @property
    def spacing(self) -> tuple[float, float]:
        """(row spacing, column spacing) as the frames have it."""
        x, y, _ = self.frameNode(0).GetSpacing()
        return (y, x)

    def goTo(self, frame: int) -> None:
        """Show a frame to the user, and with it those of the cine's biplane partner."""
        master = self.browser.GetMasterSequenceNode()
        self.browser.SetSelectedItemNumber(master.GetItemNumberFromIndexValue(self.indexValue(frame), False))

    def frame(self, frame: int) -> np.ndarray:
        """A copy of one frame: (H, W), as the scene holds it; colour becomes grey."""
        return _grey(arrayFromImage(self.frameNode(frame).GetImageData())).copy()

    def eachFrame(self) -> list[np.ndarray]:
        """Copies of the frames that are there, of any size and type."""
        there = [frame for frame in range(self.numFrames) if self.frameNode(frame).GetImageData() is not None]
        return [self.frame(frame) for frame in there]

    def frameNode(self, frame: int):
        """The sequence's own volume node of a frame; the user's view does not change."""
        return self.sequence.GetNthDataNode(frame)

    def indexValue(self, frame: int) -> str:
        """The text by which every sequence of the browser names this frame."""
        return self.sequence.GetNthIndexValue(frame)

    def indexValues(self) -> list[str]:
        """Those of all frames: what says of a frame which one it is, also when others were removed since."""
        return [self.indexValue(frame) for frame in range(self.numFrames)]

    def numbers(self) -> dict[str, int]:
        """By index value, the number of each frame as it is now."""
        return {value: frame for frame, value in enumerate(self.indexValues())}

    def stamp(self) -> tuple:
        """Changes whenever frames come, go, or get other pixels."""
        images = [self.frameNode(frame).GetImageData() for frame in range(self.numFrames)]
        changed = [image.GetMTime() if image is not None else 0 for image in images]
        return (*zip(self.indexValues(), changed, strict=True), self.spacing, self.pixelSizeSource)

    def timesMs(self) -> np.ndarray:
        """Frame times (T,), float64, in milliseconds from the first frame.

        The scene keeps times to the millisecond; a cine made by :func:`createCine` also keeps the exact ones. Where
        no time is known (see :attr:`timesKnown`), frames are spaced by the browser's playback rate.
        """
        if not self.timesKnown:
            return np.arange(self.numFrames) * 1000.0 / (self.browser.GetPlaybackRateFps() or _ASSUMED_FPS)
        scale = 1.0 if self.sequence.GetIndexUnit() == "ms" else 1000.0
        shown = np.array([float(self.indexValue(frame)) * scale for frame in range(self.numFrames)])
        exact = np.array((self.sequence.GetAttribute(_TIMES_ATTRIBUTE) or "").split(), dtype=np.float64)
        # Whoever edited the sequence since then did not edit the attribute.
        if exact.shape == shown.shape and np.allclose(_toldApart(exact), shown, rtol=0, atol=0.51):
            shown = exact
        return shown - shown[0]

    def frames(self) -> np.ndarray:
        """A copy of all frames: (T, H, W) uint8, uint16 or int16; colour becomes grey.

        Raises:
            CineUnusable: when the frames differ in size or do not hold whole numbers of 16 bits.
        """
        arrays = []
        for frame in range(self.numFrames):
            image = self.frameNode(frame).GetImageData()
            if image is None or image.GetDimensions()[2] != 1:
                raise CineUnusable(f"{self.name}: frame {frame} is not one image; choose an angiography cine")
            arrays.append(_grey(arrayFromImage(image)))
        if len({array.shape for array in arrays}) > 1:
            raise CineUnusable(f"{self.name}: its frames differ in size; choose an angiography cine")
        return _asWholeNumbers(np.stack(arrays), self.name)


def createCine(
    frames: np.ndarray,
    timesMs: Sequence[float],
    spacing: tuple[float, float] = (1.0, 1.0),
    pixelSizeSource: str = "unknown",
    name: str = "cine",
    scene=None,
) -> CineSequence:
    """Put a cine into the scene.

    Args:
        frames: (T, H, W) uint8, uint16 or int16, vessels dark.
        timesMs: T frame times that never go back.
        spacing: (row spacing, column spacing) in mm, or (1, 1).
        pixelSizeSource: where the spacing comes from: ``"calibrated"``, ``"imager"`` (detector) or ``"unknown"``.
        name: what the user sees; no patient's name.
        scene: ``slicer.mrmlScene`` when not given.

    Raises:
        CineUnusable: when the arrays are not a cine.
    """
    frames = np.asarray(frames)
    times = np.asarray(timesMs, dtype=np.float64)
    _check(frames, times, spacing, pixelSizeSource)
    scene = scene or slicer.mrmlScene

    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName(scene.GenerateUniqueName(name))
    sequence.SetIndexName("time")
    sequence.SetIndexUnit("s")
    sequence.SetAttribute(_SOURCE_ATTRIBUTE, pixelSizeSource)
    sequence.SetAttribute(_TIMES_ATTRIBUTE, " ".join(f"{time:.10g}" for time in times))
    scene.AddNode(sequence)
    # Slicer's plugin turns the image by 180 degrees so that it stands upright in the axial view.
    ijkToRas = vtk.vtkMatrix4x4()
    ijkToRas.SetElement(0, 0, -1.0)
    ijkToRas.SetElement(1, 1, -1.0)
    volume = slicer.vtkMRMLScalarVolumeNode()
    volume.SetName(sequence.GetName())
    volume.SetIJKToRASMatrix(ijkToRas)
    volume.SetSpacing(spacing[1], spacing[0], 1.0)
    image = vtk.vtkImageData()
    volume.SetAndObserveImageData(image)
    for frame, time in zip(frames, _toldApart(times), strict=True):
        fillImage(image, frame)
        sequence.SetDataNodeAtValue(volume, f"{time / 1000.0:.3f}")
    storage = scene.AddNode(slicer.vtkMRMLVolumeSequenceStorageNode())
    sequence.SetAndObserveStorageNodeID(storage.GetID())

    browser = slicer.vtkMRMLSequenceBrowserNode()
    browser.SetName(scene.GenerateUniqueName(f"{sequence.GetName()} browser"))
    span = times[-1] - times[0]
    browser.SetPlaybackRateFps(1000.0 * (len(times) - 1) / span if span else _ASSUMED_FPS)
    scene.AddNode(browser)
    browser.AddSynchronizedSequenceNode(sequence)
    return CineSequence(sequence, browser)


def cineFromNode(node) -> CineSequence:
    """The cine that a node belongs to, however it came into the scene (Slicer's DICOM module, a saved scene ...).

    Args:
        node: a proxy volume (what node selectors offer), a sequence browser or a sequence.

    Raises:
        CineUnusable: when the node is none of these, or belongs to no browser.
    """
    if node is None:
        raise CineUnusable("no cine is chosen; load one and choose it")
    browser, sequence = _browserAndSequence(node)
    if browser is None or sequence is None:
        raise CineUnusable(f"{node.GetName()} is a single image, not a cine; load the cine as an image sequence")
    return CineSequence(sequence, browser)


def _browserAndSequence(node):
    if node.IsA("vtkMRMLSequenceBrowserNode"):
        return node, node.GetMasterSequenceNode()
    scene = node.GetScene()
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene) if scene else ():
        if node.IsA("vtkMRMLSequenceNode") and browser.IsSynchronizedSequenceNode(node, True):
            return browser, node
        if browser.IsProxyNodeID(node.GetID()):
            return browser, browser.GetSequenceNode(node)
    return None, None


def _check(frames: np.ndarray, times: np.ndarray, spacing: tuple[float, float], source: str) -> None:
    if frames.ndim != 3 or 0 in frames.shape or frames.dtype.name not in _DTYPES:
        raise CineUnusable(f"a cine is (T, H, W) of {', '.join(_DTYPES)}; this is {frames.dtype} of {frames.shape}")
    if times.shape != frames.shape[:1]:
        raise CineUnusable(f"the cine has {len(frames)} frames but {times.size} frame times")
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise CineUnusable("frame times must be numbers that never go back")
    if source not in PIXEL_SIZE_SOURCES:
        raise CineUnusable(f"pixel size source {source!r} is none of {', '.join(PIXEL_SIZE_SOURCES)}")
    if len(spacing) != 2 or not np.isfinite(spacing).all() or min(spacing) <= 0:
        raise CineUnusable(f"spacing {spacing} is not two positive numbers (row, column)")


def _toldApart(times: np.ndarray) -> np.ndarray:
    """Frame times in whole milliseconds, moved where they must be: Slicer tells items apart by two milliseconds."""
    apart = 2.0 * np.arange(len(times))
    return np.maximum.accumulate(np.round(times) - apart) + apart


def _grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim == 2:
        return pixels
    # ITU-R BT.601 luma.
    return np.rint(pixels[..., :3] @ np.array([0.299, 0.587, 0.114])).astype(pixels.dtype)


def _asWholeNumbers(frames: np.ndarray, name: str) -> np.ndarray:
    if frames.dtype.name in _DTYPES:
        return frames
    for dtype in _DTYPES:
        fitting = frames.astype(dtype)
        if np.array_equal(fitting, frames):
            return fitting
    raise CineUnusable(f"{name}: its pixels are {frames.dtype} beyond 16 bits; load the original cine")
