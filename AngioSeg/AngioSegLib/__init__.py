"""The Slicer side of AngioSeg without its window: cines and masks as sequences, and the server over HTTP.

Runs inside 3D Slicer, or in any Python with ``slicer-core``. It needs numpy, requests and vtk, which Slicer brings.
"""

from AngioSegLib.cine import CineSequence, cineFromNode, createCine
from AngioSegLib.client import Client, InferReply
from AngioSegLib.clipSegmenter import ClipSegmenter
from AngioSegLib.errors import (
    AngioSegLibError,
    BadReply,
    CineUnusable,
    NrrdError,
    RequestRefused,
    SceneError,
    ServerAbsent,
    ServerError,
    ServerTimeout,
    SessionLost,
)
from AngioSegLib.segmentation import SegmentationSequence, createSegmentation, segmentationOfCine

__all__ = [
    "AngioSegLibError",
    "BadReply",
    "CineSequence",
    "CineUnusable",
    "Client",
    "ClipSegmenter",
    "InferReply",
    "NrrdError",
    "RequestRefused",
    "SceneError",
    "SegmentationSequence",
    "ServerAbsent",
    "ServerError",
    "ServerTimeout",
    "SessionLost",
    "cineFromNode",
    "createCine",
    "createSegmentation",
    "segmentationOfCine",
]
