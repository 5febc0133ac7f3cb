import numpy as np
import pytest
import torch

from covertune.models import InputSpec
from covertune.models.training.augment import Augment, Mixing, step_generator

SPEC = InputSpec(32)


def covers(n=8, px=32):
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (n, px, px, 3), dtype=np.uint8)
    )


def test_no_strength_is_plain_normalisation():
    told = Augment(0.0, SPEC)(covers(), step_generator(0, 0))
    assert torch.equal(told, SPEC.normalise(covers()))


@pytest.mark.parametrize("strength", [0.01, 0.5, 1.0])
def test_what_comes_out_can_be_a_cover(strength):
    told = Augment(strength, SPEC)(covers(), step_generator(0, 0))
    low, high = (
        SPEC.normalise(torch.zeros(1, 1, 1, 3)),
        SPEC.normalise(torch.full((1, 1, 1, 3), 255)),
    )
    assert told.shape == (8, 3, 32, 32)
    assert told.is_contiguous(memory_format=torch.channels_last)
    assert (told >= low - 1e-5).all()
    assert (told <= high + 1e-5).all()
    assert not torch.allclose(told, SPEC.normalise(covers()))


def test_a_step_repeats_and_steps_differ():
    augment = Augment(0.7, SPEC)
    one, same, next_step, other_seed = (
        augment(covers(), step_generator(*key)) for key in [(3, 5), (3, 5), (3, 6), (4, 5)]
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, next_step)
    assert not torch.equal(one, other_seed)


def test_a_hint_of_strength_hardly_changes_a_smooth_cover():
    ramp = torch.linspace(0, 255, 32).to(torch.uint8)
    smooth = ramp[None, None, :, None].expand(4, 32, 32, 3).contiguous()
    told = Augment(0.01, SPEC)(smooth, step_generator(0, 0))
    assert (told - SPEC.normalise(smooth)).abs().mean() < 0.03


def test_a_grey_cover_stays_grey_whatever_the_hue():
    grey = torch.full((6, 32, 32, 3), 128, dtype=torch.uint8)
    spec = InputSpec(32, mean=(0.5,) * 3, std=(0.5,) * 3)
    told = Augment(0.4, spec)(grey, step_generator(0, 0))
    torch.testing.assert_close(told[:, 0], told[:, 1], atol=1e-4, rtol=0)
    torch.testing.assert_close(told[:, 1], told[:, 2], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("strength", "expected"), [(0.5, 0), (1.0, 0.5)])
def test_titles_are_mirrored_only_late(strength, expected):
    theta = Augment(strength, SPEC)._geometry(4000, step_generator(0, 0))
    assert (theta[:, 0, 0] < 0).mean() == pytest.approx(expected, abs=0.05)


def test_crops_stay_inside_and_shrink_with_strength():
    for strength in (0.2, 1.0):
        theta = Augment(strength, SPEC)._geometry(2000, step_generator(0, 0))
        width = np.hypot(theta[:, 0, 0], theta[:, 0, 1])
        height = np.hypot(theta[:, 1, 0], theta[:, 1, 1])
        assert (np.abs(theta[:, 0, 2]) + width <= 1 + 1e-5).all()
        assert (np.abs(theta[:, 1, 2]) + height <= 1 + 1e-5).all()
        smallest = 1 - strength * 0.65
        assert smallest * 0.74 <= (width * height).min() <= smallest * 1.05


def test_erasing_only_late():
    augment = Augment(1.0, SPEC)
    images = torch.ones(200, 3, 32, 32)
    augment._erase(images, step_generator(0, 0))
    erased_N = (images == 0).float().mean(dim=(1, 2, 3))
    assert 0.3 < (erased_N > 0).float().mean() < 0.7
    assert erased_N[erased_N > 0].min() > 0.02
    assert erased_N.max() < 0.3
    untouched = torch.ones(50, 3, 32, 32)
    Augment(0.5, SPEC)._erase(untouched, step_generator(0, 0))
    assert (untouched == 1).all()


def test_no_mixing_leaves_labels_alone():
    labels = torch.arange(8) % 4
    _, targets = Mixing(0, 0, 4)(torch.zeros(8, 3, 4, 4), labels, step_generator(0, 0))
    assert targets is labels


@pytest.mark.parametrize("alphas", [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_targets_tell_the_share_of_pixels(alphas):
    """Every cover is filled with its genre's index, so pixels tell what was mixed."""
    mixing = Mixing(*alphas, 4)
    labels = torch.arange(8) % 4
    images = labels.float()[:, None, None, None].expand(8, 3, 32, 32).contiguous()
    mixed_any = False
    for step in range(10):
        mixed, targets = mixing(images, labels, step_generator(0, step))
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(8))
        expected = (targets * torch.arange(4)).sum(dim=1)
        torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), expected, atol=1e-5, rtol=1e-5)
        mixed_any |= bool(((targets > 0.05) & (targets < 0.95)).any())
    assert mixed_any
    assert images[3].unique().tolist() == [3.0], "the batch itself is not written to"


def test_both_get_their_turn():
    mixing, seen = Mixing(1.0, 1.0, 2), set()
    images = torch.cat([torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)])
    for step in range(30):
        mixed, _ = mixing(images, torch.tensor([0, 1]), step_generator(0, step))
        seen.add(bool(((mixed > 0) & (mixed < 1)).any()))
    assert seen == {True, False}
