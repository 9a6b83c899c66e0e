"""Tests the statistics of a sweep."""

import math

import numpy as np
import pytest

from mnist_flax.sweep import results


def line(final, first, epochs=20):
    return {
        "final_test_accuracy": final,
        "best_test_accuracy": final,
        "first_epoch_at_target": first,
        "epochs": epochs,
        "test_accuracy": [0.9, final],
        "diverged_at": None,
    }


def test_statistics():
    found = results.summarize([line(0.995, 12), line(0.994, None), line(0.996, 20)])
    assert (found.n, found.low, found.high) == (3, 0.994, 0.996)
    assert found.mean == pytest.approx(0.995)
    assert found.sd == pytest.approx(0.001)
    # 4.3027 is Student's t for 2 degrees of freedom, from any table of it.
    half = 4.302653 * 0.001 / math.sqrt(3)
    assert found.interval == pytest.approx((0.995 - half, 0.995 + half))
    assert found.met == pytest.approx(1 / 3)
    assert found.first_epochs == [12, 20]


def test_statistics_of_one_seed():
    found = results.summarize([line(0.995, 12)])
    assert math.isnan(found.sd)
    assert "nan" not in results.table({"the config": [line(0.995, 12)]})


def test_curves_leave_out_the_seeds_that_diverged():
    diverged = {**line(None, None), "diverged_at": 7, "test_accuracy": [0.5]}
    found = results.curves([line(0.995, 12), diverged, line(0.994, None)])
    np.testing.assert_array_equal(found.test_accuracy, [[0.9, 0.995], [0.9, 0.994]])
    assert found.diverged == 1


def test_test_time_augmentation():
    lines = [{**line(0.99, None), "tta_test_accuracy": share} for share in (0.992, 0.994)]
    assert results.summarize(lines).tta == pytest.approx((0.993, 0.002 / math.sqrt(2)))
    # A seed of an earlier sweep has none: there is no mean of the others alone.
    mixed = [*lines, line(0.99, None)]
    assert results.summarize(mixed).tta is None
    table = results.table({"new": lines, "mixed": mixed}).splitlines()
    assert "99.300 ± 0.141" in table[1]
    assert table[2].split()[-3] == "-"
    assert "TTA" not in results.table({"old": [line(0.99, None)]})
