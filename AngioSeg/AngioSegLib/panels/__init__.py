"""AngioSeg's window in 3D Slicer, one file for each part of it. Qt is here alone."""
