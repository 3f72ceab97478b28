"""Metrics on masks whose answer is known, and the laws they keep."""

import math

import pytest
import torch
from angioseg.metrics import (
    OVERLAPS,
    AUCMetric,
    Betti0ErrorMetric,
    ClDiceMetric,
    HD95Metric,
    OverlapMetric,
    TemporalErrorMetric,
    compute_auc,
    compute_betti0_error,
    compute_cldice,
    compute_hd95,
    compute_overlap,
    compute_temporal_change,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st


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


bits = st.lists(st.booleans(), min_size=16 * 16, max_size=16 * 16)
masks = bits.map(lambda values: torch.tensor(values, dtype=torch.float32).reshape(1, 1, 16, 16))
blobs = st.lists(
    st.tuples(st.integers(0, 31), st.integers(0, 8), st.integers(0, 31), st.integers(0, 8)), max_size=4
).map(lambda boxes: mask(*((top, top + height, left, left + width) for top, height, left, width in boxes)))


def overlap(pred, truth) -> dict:
    values = {}
    for name in OVERLAPS:
        metric = OverlapMetric(name)
        metric(pred, truth)
        values[name] = metric.aggregate().item()
    return values


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "mean_iou", "iou", "dice"),
    [(0.762, 0.9931, 0.795, 0.603, 0.752), (0.774, 0.9939, 0.813, 0.639, 0.779), (0.779, 0.9941, 0.818, 0.648, 0.787)],
    ids=["2-D", "N=1", "N=2"],
)
def test_the_papers_iou_is_the_mean_of_vessel_and_background(sensitivity, specificity, mean_iou, iou, dice):
    vessel, other = 27e6, 973e6
    counts = [sensitivity * vessel, (1 - specificity) * other, specificity * other, (1 - sensitivity) * vessel]
    values = compute_overlap(torch.tensor(counts, dtype=torch.float64))
    assert values["iou"] < sensitivity < mean_iou
    found = [values[name] for name in ("mean_iou", "iou", "dice")]
    assert found == pytest.approx([mean_iou, iou, dice], abs=0.01)


@given(masks, masks)
def test_laws_of_overlap(pred, truth):
    assume(pred.any() and truth.any() and not truth.all())
    values, swapped = overlap(pred, truth), overlap(truth, pred)
    assert values["dice"] == pytest.approx(2 * values["iou"] / (1 + values["iou"]))
    assert values["iou"] <= values["sensitivity"]
    assert all(0 <= value <= 1 for value in values.values())
    for name in ("dice", "iou", "mean_iou"):
        assert values[name] == pytest.approx(swapped[name])
    inverted = overlap(1 - pred, 1 - truth)
    assert inverted["mean_iou"] == pytest.approx(values["mean_iou"])
    assert inverted["sensitivity"] == pytest.approx(values["specificity"])
    assert set(overlap(truth, truth).values()) == {1.0}


@given(masks, masks, masks, masks)
def test_batches_count_as_one(a, b, c, d):
    whole, parts = overlap(torch.cat([a, b]), torch.cat([c, d])), {}
    for name in OVERLAPS:
        metric = OverlapMetric(name)
        metric([a[0]], [c[0]])
        metric(b, d)
        parts[name] = metric.aggregate().item()
    assert parts == pytest.approx(whole, nan_ok=True)


@pytest.mark.parametrize(
    ("pred", "truth", "values"),
    [
        (mask(), mask(), {"dice": math.nan, "iou": math.nan, "sensitivity": math.nan, "specificity": 1.0}),
        (mask(LINE), mask(), {"dice": 0.0, "iou": 0.0, "sensitivity": math.nan, "specificity": 1 - 28 / 1024}),
        (mask(), mask(LINE), {"dice": 0.0, "iou": 0.0, "sensitivity": 0.0, "specificity": 1.0}),
    ],
)
def test_overlap_with_nothing(pred, truth, values):
    found = overlap(pred, truth)
    assert {name: found[name] for name in values} == pytest.approx(values, nan_ok=True)


def test_frames_without_vessel_count_in_the_whole():
    pred, truth = torch.cat([mask(LINE), mask(LINE)]), torch.cat([mask(LINE), mask()])
    assert overlap(pred, truth)["dice"] == pytest.approx(2 / 3)


def test_an_unknown_overlap_is_refused():
    with pytest.raises(ValueError, match="mean_iou"):
        OverlapMetric("jaccard")


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=40))
def test_laws_of_auc(pixels):
    scores, truth = (torch.tensor(column).reshape(1, 1, 1, -1) for column in zip(*pixels))
    assume(truth.any() and not truth.all())
    value = compute_auc(scores, truth).item()
    vessel, other = scores[truth].tolist(), scores[~truth].tolist()
    wins = sum((v > o) + 0.5 * (v == o) for v in vessel for o in other)
    assert value == pytest.approx(wins / (len(vessel) * len(other)))
    assert compute_auc(-scores, truth).item() == pytest.approx(1 - value, abs=1e-6)
    assert compute_auc(torch.sigmoid(scores.float()), truth).item() == pytest.approx(value)


@pytest.mark.parametrize("truth", [mask(), mask((0, 31, 0, 31))], ids=["empty", "full"])
def test_auc_of_one_class(truth):
    assert math.isnan(compute_auc(torch.rand(1, 1, 32, 32), truth).item())


@given(blobs, blobs)
@settings(max_examples=40)
def test_laws_of_distance_and_pieces(pred, truth):
    assume(pred.any() and truth.any())
    for compute in (compute_hd95, compute_betti0_error):
        value = compute(pred, truth).item()
        assert value >= 0
        assert compute(truth, pred).item() == pytest.approx(value)
        assert compute(pred.flip(-1), truth.flip(-1)).item() == pytest.approx(value)
        assert compute(truth, truth).item() == 0


@pytest.mark.parametrize(
    ("pred", "truth", "hd95", "pieces"),
    [
        (mask((14, 14, 2, 29)), mask(LINE), 4.0, 0),
        (mask(), mask(LINE), math.hypot(32, 32), 1),
        (mask(LINE, (20, 21, 2, 3)), mask(), math.nan, 2),
        (mask(), mask(), math.nan, 0),
        (mask((10, 10, 2, 15), (11, 11, 16, 29)), mask(LINE), 1.0, 0),  # corners touch: one piece
        (mask((10, 10, 2, 14), (10, 10, 16, 29)), mask(LINE), 0.0, 1),
    ],
)
def test_known_distances_and_pieces(pred, truth, hd95, pieces):
    assert compute_hd95(pred, truth).item() == pytest.approx(hd95, nan_ok=True)
    assert compute_betti0_error(pred, truth).item() == pieces


def clip_of(*frames) -> torch.Tensor:
    return torch.cat(frames).unsqueeze(0).movedim(2, 1)


@pytest.mark.parametrize(
    ("pred", "truth", "error"),
    [
        ([mask(LINE)] * 3, [mask(LINE)] * 3, 0.0),
        ([mask()] * 3, [mask(LINE)] * 3, 0.0),  # empty masks are perfectly consistent where nothing moves
        ([mask()] * 2, [mask(LINE), mask((20, 20, 2, 29))], 1.0),
        ([mask(LINE), mask(), mask(LINE)], [mask(LINE)] * 3, 1.0),
        ([mask((10, 10, 2, 15)), mask(LINE)], [mask(LINE)] * 2, 1 / 3),
        ([mask()] * 3, [mask()] * 3, 0.0),
    ],
)
def test_change_in_time_is_held_against_the_truths(pred, truth, error):
    metric = TemporalErrorMetric()
    metric(clip_of(*pred), clip_of(*truth))
    assert metric.aggregate().item() == pytest.approx(error)


@given(st.lists(blobs, min_size=2, max_size=5))
@settings(max_examples=40)
def test_laws_of_change(frames):
    change = compute_temporal_change(clip_of(*frames))
    assert change.shape == (1, 1, len(frames) - 1)
    assert ((change >= 0) & (change <= 1)).all()
    assert torch.equal(compute_temporal_change(clip_of(*frames[::-1])).flip(-1), change)
    assert compute_temporal_change(clip_of(frames[0], frames[0])).item() == 0


def test_pairs_of_frames_count_alike_in_long_and_short_clips():
    metric = TemporalErrorMetric(get_not_nans=True)
    still, moving = clip_of(*[mask(LINE)] * 4), clip_of(mask(LINE), mask((20, 20, 2, 29)))
    metric(still, still)
    metric(clip_of(*[mask()] * 2), moving)
    value, count = metric.aggregate()
    assert (value.item(), count.item()) == (0.25, 4)


@pytest.mark.parametrize("metric", [AUCMetric, Betti0ErrorMetric, HD95Metric, ClDiceMetric])
def test_metrics_take_what_monais_engines_give(metric):
    one, two = mask(LINE), mask(BAR)
    batches, lists = metric(), metric()
    batches(torch.cat([one, two]), torch.cat([two, two]))
    lists([one[0], two[0]], [two[0], two[0]])
    assert lists.aggregate().item() == batches.aggregate().item()
    with pytest.raises(ValueError, match="call the metric"):
        metric().aggregate()


def test_a_change_needs_time():
    with pytest.raises(ValueError, match="B, C, T, H, W"):
        compute_temporal_change(mask())
