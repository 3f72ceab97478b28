"""The parts of the MONAI Label app, one idea a file."""
