"""Corrections carried to frames where the heart has moved on."""

import numpy as np
import pytest
from AngioSegLib.carry import carryCorrection, shiftBetween
from hypothesis import given
from hypothesis import strategies as st

SHAPE = (48, 40)


def moved(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.roll(image, (rows, columns), axis=(0, 1))


def vessel(row: int = 20, column: int = 12) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[row : row + 3, column : column + 14] = 1
    mask[row - 8 : row, column + 5 : column + 7] = 1
    return mask


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (3, 0), (0, -4), (2, 3), (-3, -2)])
def test_the_shift_of_what_is_seen_is_found(rows, columns):
    noise = np.random.default_rng(0).normal(0, 3, SHAPE)
    frame = 120 - 60.0 * vessel() + noise
    neighbour = 120 - 60.0 * moved(vessel(), rows, columns) + np.random.default_rng(1).normal(0, 3, SHAPE)
    assert shiftBetween(frame, neighbour, vessel()) == (rows, columns)


def test_nothing_to_follow_does_not_move():
    frame = np.random.default_rng(0).normal(0, 3, SHAPE)
    assert shiftBetween(frame, frame, np.zeros(SHAPE)) == (0, 0)


def test_a_shift_is_no_more_than_a_tenth_of_the_frame():
    frame = 120 - 60.0 * vessel()
    rows, columns = shiftBetween(frame, moved(frame, 15, 0), vessel())
    assert abs(rows) <= 5 and abs(columns) <= 4


masks = st.integers(0, 2**32 - 1).map(lambda seed: (np.random.default_rng(seed).random(SHAPE) > 0.7).astype(np.uint8))
shifts = st.tuples(st.integers(-4, 4), st.integers(-4, 4))


@given(mask=masks, before=masks, neighbour=masks, shift=shifts)
def test_only_what_was_corrected_changes_in_the_neighbour(mask, before, neighbour, shift):
    carried = carryCorrection(mask, before, neighbour, shift)
    changed = np.zeros(SHAPE, bool)
    rows, columns = np.nonzero(mask != before)
    rows, columns = rows + shift[0], columns + shift[1]
    inside = (rows >= 0) & (rows < SHAPE[0]) & (columns >= 0) & (columns < SHAPE[1])
    changed[rows[inside], columns[inside]] = True
    np.testing.assert_array_equal(carried[~changed], neighbour[~changed])
    source = mask[rows[inside] - shift[0], columns[inside] - shift[1]]
    np.testing.assert_array_equal(carried[rows[inside], columns[inside]], source)


@given(mask=masks, neighbour=masks)
def test_without_a_correction_nothing_changes_and_the_whole_mask_takes_its_place(mask, neighbour):
    np.testing.assert_array_equal(carryCorrection(mask, mask, neighbour, (0, 0)), neighbour)
    np.testing.assert_array_equal(carryCorrection(mask, None, neighbour, (0, 0)), mask)
