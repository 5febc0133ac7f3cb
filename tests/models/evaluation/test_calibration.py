import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covertune.models import (
    Predictions,
    at_temperature,
    calibrate,
    fit_temperature,
    fold_temperature,
    get_backbone,
    log_loss,
)
from covertune.models.metrics import expected_calibration_error


def drawn(covers, genres, sharpness, seed=0):
    """Logits, and labels drawn from their softmax at T = 1; told `sharpness` times too sure."""
    rng = np.random.default_rng(seed)
    logits_NK = rng.normal(0, 1.5, (covers, genres))
    truth_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    labels_N = (truth_NK.cumsum(axis=1) > rng.random((covers, 1))).argmax(axis=1)
    told_NK = np.exp(logits_NK * sharpness)
    return told_NK / told_NK.sum(axis=1, keepdims=True), labels_N


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_is_by_how_much_a_classifier_is_too_sure(sharpness):
    told_NK, labels_N = drawn(20_000, 5, sharpness)
    assert fit_temperature(told_NK, labels_N) == pytest.approx(sharpness, rel=0.05)


def test_no_other_temperature_has_a_lower_loss():
    told_NK, labels_N = drawn(2_000, 4, 2.0)
    best = fit_temperature(told_NK, labels_N)
    losses = [
        log_loss(at_temperature(told_NK, best * factor), labels_N) for factor in (0.97, 1, 1.03)
    ]
    assert losses[1] == min(losses)


def test_a_handful_without_an_error_makes_nobody_certain():
    """Unsmoothed, the temperature would fall to its bound; Platt's targets keep it."""
    labels_N = np.arange(30) % 3
    told_NK = np.full((30, 3), 0.1)
    told_NK[np.arange(30), labels_N] = 0.8
    confidence = at_temperature(told_NK, fit_temperature(told_NK, labels_N)).max()
    assert confidence == pytest.approx(1 - 1 / 32 * 2 / 3, abs=1e-3)


@given(st.integers(0, 50), st.floats(0.2, 5.0))
def test_the_order_of_genres_stays(seed, temperature):
    told_NK, _ = drawn(20, 6, 1.0, seed)
    after_NK = at_temperature(told_NK, temperature)
    np.testing.assert_array_equal(after_NK.argsort(axis=1), told_NK.argsort(axis=1))
    np.testing.assert_allclose(after_NK.sum(axis=1), 1)


def test_what_it_does_is_told_of_both_splits():
    val, test = Predictions(*drawn(4_000, 5, 3.0)), Predictions(*drawn(4_000, 5, 3.0, seed=1))
    found = calibrate(val, test)
    assert found.covers == 4_000
    assert found.val_ece_before == expected_calibration_error(val.probabilities_NK, val.labels_N)
    assert found.val_ece_after < found.val_ece_before / 4
    assert found.test_ece_after < found.test_ece_before / 4
    assert found.val_loss_after < found.val_loss_before
    assert found.test_loss_after < found.test_loss_before
    alone = calibrate(val)
    assert alone.temperature == found.temperature, "test covers have no say"
    assert alone.test_ece_before is None


def test_folded_into_the_last_layer_it_is_there_for_everybody():
    model = get_backbone("small_cnn").build(4, image_px=32).eval()
    covers = torch.rand(6, 3, 32, 32)
    with torch.inference_mode():
        before = model(covers)
        fold_temperature(model, 2.5)
        after = model(covers)
    torch.testing.assert_close(after, before / 2.5)


@pytest.mark.parametrize("sharpness", [10.0, 40.0])
def test_what_is_told_of_a_very_sure_classifier_is_that_of_its_weights(sharpness):
    """Its probabilities are so small that they must not be clipped."""
    rng = np.random.default_rng(0)
    sure_NK = rng.normal(0, 1.5, (2_000, 5)) * sharpness
    told_NK = np.exp(sure_NK - sure_NK.max(axis=1, keepdims=True))
    told_NK /= told_NK.sum(axis=1, keepdims=True)
    _, labels_N = drawn(2_000, 5, 1.0)
    found = calibrate(Predictions(told_NK, labels_N))
    assert found.temperature == pytest.approx(sharpness, rel=0.1)
    folded_NK = torch.softmax(torch.from_numpy(sure_NK) / found.temperature, dim=1).numpy()
    error = expected_calibration_error(folded_NK, labels_N)
    assert found.val_ece_after == pytest.approx(error, abs=1e-9)


def test_certainty_is_no_infinity():
    told_NK = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    temperature = fit_temperature(told_NK, np.array([0, 1, 1]))
    assert math.isfinite(temperature)
    assert np.isfinite(log_loss(at_temperature(told_NK, temperature), np.array([0, 1, 1])))
