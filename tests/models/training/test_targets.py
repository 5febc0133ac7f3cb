"""What covers of several genres are trained on, and what is told of them. All figures by hand."""

import math

import numpy as np
import pytest
import torch

from covertune.batch import Batch
from covertune.models import (
    FineTuner,
    ModelError,
    extract_features,
    fit_probe,
    get_backbone,
    measure_model,
    measure_probabilities,
)
from covertune.models.training.augment import Mixing, step_generator
from covertune.models.training.targets import targets_of

CPU = torch.device("cpu")
LABELS = torch.tensor([1, 0, 2])
GENRES = torch.tensor([[0, 1, 0, 0], [1, 0, 0, 1], [1, 1, 1, 0]], dtype=torch.uint8)
SHARES = torch.tensor([[0, 1, 0, 0], [0.5, 0, 0, 0.5], [1 / 3, 1 / 3, 1 / 3, 0]])


class WithGenres:
    """Batches of covers with marks beside the labels."""

    def __init__(self, covers, marks):
        self.covers, self.marks = covers, marks

    def __iter__(self):
        for images, labels, _ in self.covers:
            yield Batch(images, labels, self.marks[labels])


ALONE = torch.eye(4, dtype=torch.uint8)
PAIRED = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.uint8)


def test_each_genre_gets_its_share():
    assert targets_of(LABELS) is LABELS
    torch.testing.assert_close(targets_of(LABELS, GENRES), SHARES)


def test_without_mixing_the_shares_stay():
    _, targets = Mixing(0, 0, 4)(torch.zeros(3, 3, 4, 4), SHARES, step_generator(0, 0))
    assert targets is SHARES


def test_mixup_mixes_the_shares():
    """The covers tell what was mixed: each is filled with a power of two of its own."""
    images = torch.tensor([1.0, 2.0, 4.0])[:, None, None, None].expand(3, 3, 4, 4).contiguous()
    rng = step_generator(0, 5)
    rng.integers(1)  # which kind
    lam = rng.beta(0.4, 0.4)
    order = rng.permutation(3)
    mixed, targets = Mixing(0.4, 0, 4)(images, SHARES, step_generator(0, 5))
    assert sorted(order) == [0, 1, 2] != order.tolist()
    for cover, other in enumerate(order):
        expected = lam * images[cover] + (1 - lam) * images[other]
        torch.testing.assert_close(mixed[cover], expected)
        shares = lam * SHARES[cover] + (1 - lam) * SHARES[other]
        torch.testing.assert_close(targets[cover], shares.float())


def test_mixed_soft_targets_of_single_genres_are_those_of_labels():
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8) % 4
    shares = targets_of(labels, ALONE[labels])
    for step in range(8):
        hard = Mixing(0.4, 1.0, 4)(images, labels, step_generator(1, step))
        soft = Mixing(0.4, 1.0, 4)(images, shares, step_generator(1, step))
        for one, other in zip(hard, soft, strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_training_loss_is_the_cross_entropy_of_the_shares(change, smoothing, monkeypatch):
    """One step on one batch against log-probabilities weighted by hand."""
    tuner = FineTuner(change(label_smoothing=smoothing), 4, CPU, steps_per_epoch=1)
    logits = torch.tensor([[2.0, 0.0, 1.0, -1.0], [0.0, 3.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]])
    forward = tuner.model.forward
    monkeypatch.setattr(tuner.model, "forward", lambda pixels: 0 * forward(pixels) + logits)
    images = torch.zeros(3, 32, 32, 3, dtype=torch.uint8)
    stats = tuner.train_epoch([Batch(images, LABELS, GENRES)])
    wanted = 0.0
    for scores, shares in zip(logits.tolist(), SHARES.tolist(), strict=True):
        total = math.log(sum(math.exp(score) for score in scores))
        smoothed = [share * (1 - smoothing) + smoothing / 4 for share in shares]
        wanted += sum(w * (total - score) for w, score in zip(smoothed, scores, strict=True)) / 3
    assert stats.loss == pytest.approx(wanted, rel=1e-5)
    measured = tuner.evaluate([Batch(images, LABELS, GENRES)])
    # First guesses 0, 1, 0: a genre of the third cover alone, and not its primary one.
    assert (measured.metrics.top1, measured.metrics.any_top1) == (0.0, pytest.approx(1 / 3))


def test_reports_tell_both(recipe, train, val):
    """Nothing tells genre 0 from genre 1, for all their covers have both."""
    tuner = FineTuner(recipe, 4, CPU, steps_per_epoch=6)
    for _ in range(5):
        report = tuner.run_epoch(WithGenres(train, PAIRED), WithGenres(val, PAIRED))
    assert report.progress.any_top1 > 0.9
    assert report.progress.top1 < report.progress.any_top1 - 0.1
    assert sum(map(sum, report.confusion_KK)) == 48
    measured = measure_model(tuner.export_model(), tuner.input_spec, WithGenres(val, PAIRED))
    assert measured.any_top1 == pytest.approx(report.progress.any_top1, abs=0.05)
    assert measured.model_dump()["any_top1"] == measured.any_top1
    alone = measure_model(tuner.export_model(), tuner.input_spec, val)
    assert alone.any_top1 is None
    assert "any_top1" not in alone.model_dump()
    assert (alone.top1, alone.ece) == (measured.top1, measured.ece)


def test_single_genres_are_told_of_as_before(recipe, train, val):
    """Marks of one genre a cover change nothing but `any_top1`, which is top-1 then."""
    plain, marked = (FineTuner(recipe, 4, CPU, steps_per_epoch=6) for _ in range(2))
    without = plain.run_epoch(train, val).progress
    with_marks = marked.run_epoch(WithGenres(train, ALONE), WithGenres(val, ALONE)).progress
    assert without.any_top1 is None
    assert with_marks.any_top1 == with_marks.top1
    for name in ("train_loss", "val_loss"):
        assert getattr(with_marks, name) == pytest.approx(getattr(without, name), rel=0.02)


def test_the_probe_learns_all_genres(train, val):
    backbone = get_backbone("small_cnn")
    model, spec = backbone.build(4, image_px=32), backbone.input.at(32)
    known, unknown = (
        extract_features(model, WithGenres(covers, PAIRED), CPU, input_spec=spec)
        for covers in (train, val)
    )
    assert torch.equal(known.genres_NK, PAIRED[train.labels_N])
    found = fit_probe(known, unknown, 4)
    assert found.val_metrics.any_top1 > found.val_metrics.top1
    shares = torch.softmax(unknown.features_ND @ found.head.weight_KD.T + found.head.bias_K, dim=1)
    of_pair = shares[unknown.labels_N < 2]
    torch.testing.assert_close(of_pair[:, 0], of_pair[:, 1], atol=0.05, rtol=0)
    assert float(of_pair[:, :2].sum(dim=1).mean()) > 0.8
    alone = (features._replace(genres_NK=None) for features in (known, unknown))
    assert fit_probe(*alone, 4).val_metrics.any_top1 is None


def test_marks_that_do_not_fit():
    with pytest.raises(ModelError, match=r"a mark per cover and genre, 2 x 3, got 2 x 4"):
        measure_probabilities(np.full((2, 3), 1 / 3), np.zeros(2, int), np.ones((2, 4), int))
