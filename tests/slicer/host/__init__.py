"""A small host for AngioSeg's window where there is no 3D Slicer: real Qt, the real scene, stand-ins for the rest.

What the stand-ins do not have raises: nothing here is more forgiving than the program would be. The Segment Editor, the
typed parameter node and the layout are the stand-ins to distrust; AngioSeg/README.md lists what to check by hand.
"""

from .host import Host, reading, says, segmentAll
from .qtModule import useProperties

__all__ = ["Host", "reading", "says", "segmentAll", "useProperties"]
