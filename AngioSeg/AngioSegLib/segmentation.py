"""Vessel masks in a Slicer scene: a sequence of segmentations beside the cine, in the cine's browser.

A frame without an item is *not segmented*; a frame whose item has an empty segment *was* segmented and shows no
vessel. Masks go into the sequence by their index value, so the frame the user looks at never changes.

What the user paints is kept on a frame that has a mask, an empty one included. On a frame without one, Slicer shows
an empty segmentation and forgets what is painted there: give the frame an empty mask first.

A mask is stored as one segment. Slicer lets the user add others and remove this one; a mask that is read is all that
is painted, in whichever segment: what the user sees.
"""

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from AngioSegLib.cine import CineSequence
from AngioSegLib.errors import CineUnusable
from AngioSegLib.images import arrayFromImage, fillImage

__all__ = ["SEGMENT_ID", "TERMINOLOGY", "SegmentationSequence", "createSegmentation", "segmentationOfCine", "showOnly"]

SEGMENT_ID = "vessel"
# As in the server's DICOM segmentation objects; left alone, Slicer calls a segment "tissue".
TERMINOLOGY = (
    "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
    "~SCT^41801008^Coronary artery~^^~Anatomic codes - DICOM master list~^^~^^"
)
# Orange of Okabe and Ito's palette, which people with any colour vision tell from greys.
_COLOUR = (230 / 255, 159 / 255, 0.0)
_LABELMAP = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
# A node reference, not an attribute: it still points right when a scene is added to another.
_CINE_ROLE = "AngioSeg.Cine"


class SegmentationSequence:
    """The masks of one cine.

    Args:
        cine: the cine.
        sequence: its vtkMRMLSequenceNode of segmentations; :func:`createSegmentation` makes one.
    """

    def __init__(self, cine: CineSequence, sequence):
        self.cine = cine
        self.sequence = sequence

    @property
    def proxy(self):
        """The segmentation node that shows the current frame's mask, or None."""
        node = self.cine.browser.GetProxyNode(self.sequence)
        # Where a scene is added to another, the reference may lead to a node of that; Slicer makes a new one in time.
        return node if node is not None and node.IsA("vtkMRMLSegmentationNode") else None

    def segmentedFrames(self) -> list[int]:
        """Numbers of the frames that have a mask, empty masks included."""
        return [frame for frame in range(self.cine.numFrames) if self._node(frame) is not None]

    def setMask(self, frames: Sequence[int], masks: np.ndarray) -> None:
        """Store masks of some frames, replacing what these frames had.

        Args:
            frames: K frame numbers, from 0.
            masks: (K, H, W), bool or integer; not 0 is vessel.

        Raises:
            CineUnusable: when a frame or the size of the masks is not the cine's.
        """
        masks = np.asarray(masks)
        rows, columns = self.size
        if masks.shape != (len(frames), rows, columns):
            raise CineUnusable(f"masks of shape {masks.shape} do not fit {len(frames)} frames of {rows} x {columns}")
        if any(not 0 <= frame < self.cine.numFrames for frame in frames):
            raise CineUnusable(f"the cine has frames 0 to {self.cine.numFrames - 1}, not all of {list(frames)}")
        for frame, mask in zip(frames, masks, strict=True):
            node = self._nodeOfMask(mask != 0, self.cine.frameNode(frame))
            self.sequence.SetDataNodeAtValue(node, self.cine.indexValue(frame))

    def clear(self, frames: Sequence[int]) -> None:
        """Make frames *not segmented* again."""
        for frame in frames:
            self.sequence.RemoveDataNodeAtValue(self.cine.indexValue(frame))

    def mask(self) -> np.ndarray:
        """(T, H, W) uint8, 1 = vessel; frames not segmented are 0 (see :meth:`segmentedFrames`)."""
        return np.stack([self.maskOf(frame) for frame in range(self.cine.numFrames)])

    def maskOf(self, frame: int) -> np.ndarray:
        """(H, W) uint8, 1 = vessel; all 0 when the frame is not segmented."""
        node = self._node(frame)
        return np.zeros(self.size, np.uint8) if node is None else _maskOfNode(node, self.cine.frameNode(frame))

    def stamp(self, frame: int) -> tuple | None:
        """Changes whenever the frame's mask does; None when the frame is not segmented."""
        node = self._node(frame)
        if node is None:
            return None
        stamps = []
        for segmentId in node.GetSegmentation().GetSegmentIDs():
            segment = node.GetSegmentation().GetSegment(segmentId)
            labelmap = segment.GetRepresentation(_LABELMAP)
            # Segments that do not overlap share a labelmap, and differ in their value.
            stamps.append((segmentId, segment.GetLabelValue(), labelmap.GetMTime() if labelmap else 0))
        return (node.GetID(), *stamps)

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of a frame."""
        columns, rows, _ = self.cine.frameNode(0).GetImageData().GetDimensions()
        return rows, columns

    def _node(self, frame: int):
        return self.sequence.GetDataNodeAtValue(self.cine.indexValue(frame), True)

    def _nodeOfMask(self, mask: np.ndarray, frameNode):
        labelmap = _emptyLike(frameNode)
        fillImage(labelmap, mask.astype(np.uint8))
        segment = slicer.vtkSegment()
        segment.SetName(SEGMENT_ID)
        segment.SetColor(*_COLOUR)
        segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), TERMINOLOGY)
        segment.AddRepresentation(_LABELMAP, labelmap)
        node = slicer.vtkMRMLSegmentationNode()
        node.SetName(self.sequence.GetName())
        # What the Segment Editor draws on: the frame's own grid.
        node.SetReferenceImageGeometryParameterFromVolumeNode(frameNode)
        node.GetSegmentation().AddSegment(segment, SEGMENT_ID)
        return node


def createSegmentation(cine: CineSequence) -> SegmentationSequence:
    """Add an empty sequence of masks to the cine's browser; no frame counts as segmented yet."""
    scene = cine.sequence.GetScene()
    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName(scene.GenerateUniqueName(f"{cine.name} vessels"))
    sequence.SetIndexName(cine.sequence.GetIndexName())
    sequence.SetIndexUnit(cine.sequence.GetIndexUnit())
    scene.AddNode(sequence)
    sequence.SetNodeReferenceID(_CINE_ROLE, cine.sequence.GetID())
    storage = scene.AddNode(slicer.vtkMRMLSequenceStorageNode())
    sequence.SetAndObserveStorageNodeID(storage.GetID())
    return _inBrowser(cine, sequence)


def segmentationOfCine(cine: CineSequence) -> SegmentationSequence | None:
    """The masks that belong to a cine, such as after loading a scene, or None.

    Those that another browser shows, or one that was removed, are shown by the cine's own, too.
    """
    for sequence in slicer.util.getNodesByClass("vtkMRMLSequenceNode", cine.sequence.GetScene()):
        if sequence.GetNodeReferenceID(_CINE_ROLE) == cine.sequence.GetID():
            inBrowser = cine.browser.IsSynchronizedSequenceNode(sequence, True)
            return SegmentationSequence(cine, sequence) if inBrowser else _inBrowser(cine, sequence)
    return None


def _inBrowser(cine: CineSequence, sequence) -> SegmentationSequence:
    proxy = slicer.vtkMRMLSegmentationNode()
    proxy.SetName(sequence.GetName())
    sequence.GetScene().AddNode(proxy)
    proxy.CreateDefaultDisplayNodes()
    browser = cine.browser
    # All at once: an empty sequence halfway through makes Slicer log an error.
    wasModifying = browser.StartModify()
    browser.AddSynchronizedSequenceNode(sequence)
    # Slicer's default invents an item for every frame passed while browsing, and drops what the user corrects.
    browser.SetMissingItemMode(sequence, browser.MissingItemSetToDefault)
    browser.SetRecording(sequence, False)
    browser.SetSaveChanges(sequence, True)
    browser.AddProxyNode(proxy, sequence, False)
    browser.EndModify(wasModifying)
    return SegmentationSequence(cine, sequence)


def showOnly(masks: SegmentationSequence | None, scene) -> None:
    """Show these masks and no other cine's, or none: one view shows them all, whatever cine is behind them."""
    for browser in slicer.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene):
        sequences = vtk.vtkCollection()
        browser.GetSynchronizedSequenceNodes(sequences, True)
        for number in range(sequences.GetNumberOfItems()):
            sequence = sequences.GetItemAsObject(number)
            proxy = browser.GetProxyNode(sequence)
            if sequence.GetNodeReferenceID(_CINE_ROLE) and proxy is not None and proxy.GetDisplayNode() is not None:
                proxy.GetDisplayNode().SetVisibility(masks is not None and sequence is masks.sequence)


def _emptyLike(frameNode):
    labelmap = slicer.vtkOrientedImageData()
    columns, rows, _ = frameNode.GetImageData().GetDimensions()
    labelmap.SetDimensions(columns, rows, 1)
    ijkToWorld = vtk.vtkMatrix4x4()
    frameNode.GetIJKToRASMatrix(ijkToWorld)
    labelmap.SetGeometryFromImageToWorldMatrix(ijkToWorld)
    return labelmap


def _maskOfNode(node, frameNode) -> np.ndarray:
    reference = _emptyLike(frameNode)
    columns, rows, _ = reference.GetDimensions()
    mask = np.zeros((rows, columns), np.uint8)
    for segmentId in node.GetSegmentation().GetSegmentIDs():
        labelmap, onFrame = slicer.vtkOrientedImageData(), slicer.vtkOrientedImageData()
        if not node.GetBinaryLabelmapRepresentation(segmentId, labelmap):
            continue
        # The Segment Editor and the file format both crop a labelmap to what is painted.
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(labelmap, reference, onFrame)
        mask |= arrayFromImage(onFrame) != 0
    return mask
