"""clDice on masks whose skeletons are known."""

import math

import pytest
import torch
from angioseg.metrics import ClDiceMetric, compute_cldice


def mask(*boxes) -> torch.Tensor:
    """(1, 1, 32, 32) with boxes (first row, last row, first column, last column) set."""
    result = torch.zeros(1, 1, 32, 32)
    for top, bottom, left, right in boxes:
        result[..., top : bottom + 1, left : right + 1] = 1
    return result


LINE, BAR = (10, 10, 2, 29), (9, 11, 2, 29)


@pytest.mark.parametrize(
    ("pred", "truth", "value"),
    [
        (mask(LINE), mask(LINE), 1.0),
        (mask(BAR), mask(LINE), 1.0),  # but for an end pixel that a bar's skeleton loses
        (mask(LINE), mask(BAR), 1.0),
        (mask((20, 20, 2, 29)), mask(LINE), 0.0),
        (mask(), mask(LINE), 0.0),
        (mask((10, 10, 2, 15)), mask(LINE), 2 / 3),  # half of it, all of that right: 1 and 1/2
        (mask(LINE, (20, 20, 2, 29)), mask(LINE), 2 / 3),
    ],
)
def test_known_values(pred, truth, value):
    assert compute_cldice(pred, truth).tolist() == [[pytest.approx(value, abs=0.02)]]


@pytest.mark.parametrize(
    ("pred", "ignore_empty", "value"),
    [(mask(), True, math.nan), (mask(LINE), True, math.nan), (mask(), False, 1.0), (mask(LINE), False, 0.0)],
)
def test_an_empty_truth(pred, ignore_empty, value):
    assert compute_cldice(pred, mask(), ignore_empty).item() == pytest.approx(value, nan_ok=True)


def test_batches_and_channels_are_kept_apart_and_averaged():
    pred, truth = (
        torch.cat([mask(LINE), mask(LINE), mask(LINE)]),
        torch.cat([mask(LINE), mask((20, 20, 2, 29)), mask()]),
    )
    metric = ClDiceMetric(get_not_nans=True)
    metric(pred[:2], truth[:2])
    metric(pred[2:], truth[2:])
    value, count = metric.aggregate()
    assert (value.item(), count.item()) == (0.5, 2)
    assert compute_cldice(pred.transpose(0, 1), truth.transpose(0, 1)).shape == (1, 3)


@pytest.mark.parametrize("shape", [(1, 1, 32, 31), (1, 32, 32)])
def test_shapes_that_do_not_fit(shape):
    with pytest.raises(ValueError, match="one shape"):
        compute_cldice(torch.zeros(shape), mask())
