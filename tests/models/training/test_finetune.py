import gc
import math
import time
import weakref

import numpy as np
import pytest
import torch

from covertune.batch import Batch
from covertune.models import (
    Collapse,
    FineTuner,
    HeadWeights,
    ModelError,
    NonFiniteLoss,
    free_memory,
)
from covertune.models.backbones.heads import head_of
from covertune.models.training.augment import step_generator
from covertune.models.training.random_state import dropout_seed

CPU = torch.device("cpu")
K = 4

EVERYTHING = {
    "optimizer": "adamw",
    "layer_decay": 0.8,
    "weight_decay": 0.05,
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "label_smoothing": 0.1,
    "mixup_alpha": 0.2,
    "cutmix_alpha": 1.0,
    "augment_strength": 0.3,
    "drop_rate": 0.2,
    "ema_decay": 0.9,
    "frozen_stages": 1,
}


def tuner(recipe, **options):
    return FineTuner(recipe, K, CPU, steps_per_epoch=6, **options)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_learns(recipe, train, val):
    learner = tuner(recipe)
    ran = [learner.run_epoch(train, val) for _ in range(5)]
    reports = [report.progress for report in ran]
    assert [report.covers_seen for report in reports] == [96, 192, 288, 384, 480]
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5]
    assert reports[-1].top1 > 0.9
    assert reports[-1].train_loss < reports[0].train_loss
    last = reports[-1]
    assert last.top1 <= last.top3 <= 1
    assert 0.8 < last.macro_f1 <= 1
    assert sum(map(sum, ran[-1].confusion_KK)) == 48
    assert last.covers_per_s > 0
    assert 0 < last.data_wait_share < 1
    assert last.seconds > 0
    assert (last.lr_head, last.lr_backbone) == (3e-3, 3e-3)


@pytest.mark.parametrize("settings", [{}, EVERYTHING], ids=["plain", "everything"])
def test_equal_seeds_give_equal_weights_whatever_ran_before(change, train, settings):
    first = tuner(change(**settings))
    first.train_epoch(train)
    torch.manual_seed(99)
    second = tuner(change(**settings))
    torch.rand(7)
    second.train_epoch(train)
    other = tuner(change(**settings, seed=1))
    assert equal(first.export_model().state_dict(), second.export_model().state_dict())
    assert not torch.equal(head_of(other.model).weight, head_of(tuner(change()).model).weight)


def test_the_global_random_state_is_left_alone(change, train):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    tuner(change(**EVERYTHING)).train_epoch(train)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_restored_and_continued_equals_never_stopped(change, train, val, tmp_path, optimizer):
    recipe = change(**EVERYTHING | {"optimizer": optimizer})
    whole = tuner(recipe)
    whole.run_epoch(train, val)
    whole.save(tmp_path / "state.pt")
    expected = whole.run_epoch(train, val).progress

    resumed = tuner(recipe, load_weights=False)
    resumed.restore(tmp_path / "state.pt")
    got = resumed.run_epoch(train, val).progress
    own = {"seconds", "covers_per_s", "data_wait_share"}
    assert got.model_dump(exclude=own) == expected.model_dump(exclude=own)
    assert equal(whole.model.state_dict(), resumed.model.state_dict())
    assert equal(whole.ema.module.state_dict(), resumed.ema.module.state_dict())


def test_a_state_of_another_recipe(change):
    with pytest.raises(ModelError, match="the same recipe; they differ in lr_head, seed"):
        tuner(change()).load_state_dict(tuner(change(lr_head=0.5, seed=3)).state_dict())


def test_a_loss_that_is_not_finite_stops_at_once(change, train):
    learner = tuner(change(optimizer="sgd", lr_head=1e30, lr_backbone=1e30))
    with pytest.raises(NonFiniteLoss, match=r"the training loss became .* in epoch 1 by step"):
        learner.train_epoch(train)
    assert learner.step < len(train), "the rest of the epoch is not trained"


def test_collapse_ends_the_trial_and_carries_its_report(recipe, train, val):
    learner = tuner(recipe)

    def spoil(batches):
        yield from batches
        with torch.no_grad():
            head_of(learner.model).bias[2] = 1e4

    with pytest.raises(
        Collapse, match=r"100.0% of the validation covers were given genre 2, which 25.0%"
    ) as caught:
        learner.run_epoch(spoil(train), val)
    assert caught.value.report.progress.epoch == 1
    assert caught.value.report.progress.top1 == 0.25


def test_frozen_stages_stay_as_they_are(change, train):
    learner = tuner(change(frozen_stages=3))
    before = {n: t.clone() for n, t in learner.model.state_dict().items()}
    learner.train_epoch(train)
    changed = {n for n, t in learner.model.state_dict().items() if not torch.equal(t, before[n])}
    assert not {n for n in changed if n.startswith(("stem", "blocks.0", "blocks.1"))}
    assert {"classifier.weight", "blocks.3.conv2.weight", "norm.running_mean"} <= changed


def test_all_stages_frozen_is_a_linear_probe(change, train):
    learner = tuner(change(frozen_stages=5))
    before = {n: t.clone() for n, t in learner.model.state_dict().items()}
    learner.train_epoch(train)
    changed = {n for n, t in learner.model.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_frozen_batch_norm_keeps_its_statistics_and_learns_its_scale(change, train):
    learner = tuner(change(batch_norm="frozen"))
    before = {n: t.clone() for n, t in learner.model.state_dict().items()}
    learner.train_epoch(train)
    after = learner.model.state_dict()
    assert torch.equal(after["norm.running_mean"], before["norm.running_mean"])
    assert not torch.equal(after["norm.weight"], before["norm.weight"])


def test_the_average_is_what_is_measured_and_exported(change, train, val):
    learner = tuner(change(ema_decay=0.999))
    learner.train_epoch(train)
    assert learner.export_model() is learner.ema.module
    assert not equal(learner.ema.module.state_dict(), learner.model.state_dict())
    with torch.no_grad():
        head_of(learner.ema.module).weight.zero_()
        head_of(learner.ema.module).bias.copy_(torch.tensor([0.0, 0.0, 9.0, 0.0]))
    assert learner.evaluate(val).metrics.top1 == 0.25


def test_the_average_is_measured_with_its_newest_weights(change, val):
    """TinyViT keeps attention biases from one evaluation to the next."""
    settings = {"backbone": "timm/tiny_vit_5m_224", "weights": "none", "image_px": 64}
    learner = tuner(change(**settings, ema_decay=0.9))
    larger = torch.nn.functional.interpolate(val.images_NHWC[:4].movedim(3, 1), 64).movedim(1, 3)
    batches = [Batch(larger, val.labels_N[:4])]
    pixels = learner.input_spec.normalise(larger)
    learner.evaluate(batches)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        before = learner.export_model()(pixels)
        for name, parameter in learner.ema.module.named_parameters():
            if name.endswith("attention_biases"):
                parameter.normal_(std=10, generator=generator)
        after = learner.export_model()(pixels)
    assert not torch.equal(before, after)


def test_a_state_that_is_not_whole(change):
    state = tuner(change(ema_decay=0.9)).state_dict()
    for spoilt in ({"model": {}}, {"ema": None}, {"optimizer": {}}, {"epoch": None}):
        with pytest.raises(ModelError, match="must fit small_cnn with 4 genres, this one does not"):
            tuner(change(ema_decay=0.9)).load_state_dict(state | spoilt)


def test_order_augmentation_and_dropout_draw_from_streams_of_their_own(change):
    seeds = {dropout_seed(1, 2), dropout_seed(2, 2), dropout_seed(1, 3)}
    assert len(seeds) == 3
    augmentation = step_generator(1, 2).integers(2**62)
    assert augmentation != np.random.default_rng((1, 2)).integers(2**62)


def test_the_probes_head_is_the_start(change):
    head = HeadWeights(torch.full((K, 256), 0.5), torch.arange(float(K)))
    learner = tuner(change(head_init="probe"), head=head)
    assert torch.equal(head_of(learner.model).weight, head.weight_KD)
    with pytest.raises(ModelError, match="head_init 'probe' needs the head of a fitted probe"):
        tuner(change(head_init="probe"))


def test_a_head_of_zeros_tells_nothing_before_it_has_learnt(change, val):
    learner = tuner(change(head_init="zero", ema_decay=0.9, drop_rate=0.5))
    measured = learner.evaluate(val)
    assert measured.loss == pytest.approx(math.log(K))
    assert head_of(learner.export_model()).weight.count_nonzero() == 0


def test_evaluation_is_the_same_however_covers_are_batched(change, val):
    learner = tuner(change(precision="float32"))
    parts = learner.evaluate(val)
    whole = learner.evaluate([Batch(val.images_NHWC, val.labels_N)])
    assert parts.confusion_KK == whole.confusion_KK
    assert parts.loss == pytest.approx(whole.loss, rel=1e-4)
    assert (parts.covers, whole.covers) == (48, 48)


def test_waiting_for_data_is_told(recipe, train):
    def slow(batches):
        for batch in batches:
            time.sleep(0.1)
            yield batch

    stats = tuner(recipe).train_epoch(slow(train))
    assert 0.6 <= stats.data_wait_s < stats.seconds
    assert stats.covers == 96


def test_a_single_cover_is_left_out(recipe, train):
    (images, labels, _), *_ = list(train)
    stats = tuner(recipe).train_epoch([Batch(images, labels), Batch(images[:1], labels[:1])])
    assert stats.covers == 16


def test_what_cannot_be_trained_on(recipe, train, val):
    learner = tuner(recipe)
    images = torch.zeros(4, 48, 48, 3, dtype=torch.uint8)
    with pytest.raises(ModelError, match=r"covers must be \(32, 32, 3\) .* got \(48, 48, 3\)"):
        learner.train_epoch([Batch(images, torch.zeros(4, dtype=torch.int64))])
    with pytest.raises(ModelError, match="needs at least one batch of two covers, got none"):
        learner.train_epoch([])
    with pytest.raises(ModelError, match="needs at least one cover, got none"):
        learner.evaluate([])
    with pytest.raises(ModelError, match="steps_per_epoch must be at least 1, got 0"):
        FineTuner(recipe, K, CPU, steps_per_epoch=0)


def test_many_trials_in_one_process_leave_nothing(change, train, val):
    gone = []
    for seed in range(3):
        learner = tuner(change(**EVERYTHING, seed=seed))
        learner.run_epoch(train, val)
        gone.append(weakref.ref(learner.model))
        del learner
        free_memory(CPU)
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3


@pytest.mark.parametrize("settings", [{"channels_last": False}, {"precision": "bfloat16"}])
def test_other_layouts_and_precisions_learn_too(change, train, val, settings):
    learner = tuner(change(**settings))
    reports = [learner.run_epoch(train, val).progress for _ in range(3)]
    assert reports[-1].train_loss < reports[0].train_loss / 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_learns_on_a_gpu(change, train, val):
    device = torch.device("cuda")
    learner = FineTuner(change(**EVERYTHING), K, device, steps_per_epoch=6)
    moved, measured = ([batch.to(device) for batch in covers] for covers in (train, val))
    reports = [learner.run_epoch(moved, measured).progress for _ in range(3)]
    assert reports[-1].train_loss < reports[0].train_loss
    free_memory(device)
