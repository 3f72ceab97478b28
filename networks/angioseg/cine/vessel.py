"""Which values of a label are vessel."""

import numpy as np

__all__ = ["CATHETER", "CATHETER_GREY", "VESSEL_GREY", "vessel_mask"]

VESSEL_GREY, CATHETER_GREY = np.uint8(255), np.uint8(64)
"""Their marks in labels that the simulator writes as pictures."""
CATHETER = (2, int(CATHETER_GREY))
"""What marks a catheter in a label, beside its vessels."""


def vessel_mask(labels: np.ndarray) -> np.ndarray:
    """The vessels of a label.

    1 is vessel, and in pictures (values of 128 and more) 128 and above, so that a catheter is not.

    Args:
        labels: (T, H, W), integers: of the whole label, for its largest value tells whether it is a picture's.

    Returns:
        (T, H, W) uint8, 1 = vessel.
    """
    return (labels >= 128 if labels.max() >= 128 else labels == 1).view(np.uint8)
