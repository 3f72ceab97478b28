"""AngioSeg's window in 3D Slicer: one file for each part of it. Here alone is Qt; what is done stands in AngioSegLib."""
