"""The loss that training uses."""

import pytest
import torch
from angioseg.losses import VesselLoss


def line(rows: slice, columns: slice = slice(8, 56)) -> torch.Tensor:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., rows, columns] = 1
    return mask


def logits(mask: torch.Tensor) -> torch.Tensor:
    return 16 * mask - 8


TRUTH = line(slice(30, 34)) + line(slice(10, 12))


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        pytest.param(TRUTH, line(slice(30, 34)), id="a branch found, and missed"),
        pytest.param(line(slice(30, 34)), line(slice(50, 54)), id="the trunk found, and something else"),
        pytest.param(TRUTH, torch.zeros_like(TRUTH), id="all, and nothing"),
    ],
)
@pytest.mark.parametrize("cldice", [0.0, 0.3])
def test_what_is_better_costs_less(better, worse, cldice):
    loss = VesselLoss(cldice)
    assert loss(logits(better), TRUTH) < loss(logits(worse), TRUTH)


def test_a_gap_costs_more_with_cldice_than_as_many_pixels_at_the_rim():
    gap = line(slice(30, 34), slice(8, 30)) + line(slice(30, 34), slice(42, 56))
    rim = line(slice(30, 33))
    truth = line(slice(30, 34))
    assert gap.sum() == rim.sum()
    without, with_it = VesselLoss(0.0), VesselLoss(1.0)
    assert without(logits(gap), truth) == pytest.approx(without(logits(rim), truth).item(), abs=1e-4)
    assert with_it(logits(gap), truth) > with_it(logits(rim), truth) + 0.05


@pytest.mark.parametrize("truth", [TRUTH, torch.zeros_like(TRUTH)], ids=["vessels", "empty"])
def test_its_gradient_is_finite_and_not_nothing(truth):
    out = torch.zeros_like(truth, requires_grad=True)
    VesselLoss()(out, truth).backward()
    assert out.grad.isfinite().all() and out.grad.abs().sum() > 0


def test_a_negative_weight_is_refused():
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        VesselLoss(-1)
