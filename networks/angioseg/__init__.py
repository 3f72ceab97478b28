"""AngioSeg: coronary arteries in X-ray angiography cines."""

__version__ = "0.1.0"
