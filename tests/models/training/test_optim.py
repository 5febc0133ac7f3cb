import math

import pytest
import torch

from covertune.models import get_backbone
from covertune.models.backbones.stages import freeze, stages
from covertune.models.training.optim import (
    build_optimizer,
    learning_rates,
    lr_factor,
    set_learning_rates,
)


def build(recipe):
    model = get_backbone(recipe.backbone).build(4)
    freeze(model, recipe.frozen_stages)
    return model, build_optimizer(recipe, model, stages(model))


def test_every_trained_parameter_once(change):
    model, optimizer = build(change(frozen_stages=2))
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)


def test_rates_fall_with_depth(change):
    _, optimizer = build(change(lr_head=0.1, lr_backbone=0.01, layer_decay=0.5))
    rates = {group["name"]: group["peak_lr"] for group in optimizer.param_groups}
    assert rates == pytest.approx(
        {
            "head": 0.1,
            "blocks.3..norm": 0.01,
            "blocks.2": 0.005,
            "blocks.1": 0.0025,
            "blocks.0": 0.00125,
            "stem": 0.000625,
        }
    )
    assert learning_rates(optimizer) == (0.1, 0.01)


def test_biases_and_normalisations_are_not_decayed(change):
    model, optimizer = build(change(weight_decay=0.05))
    spared = {id(p) for g in optimizer.param_groups if g["weight_decay"] == 0 for p in g["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in spared}
    assert names == {n for n, _ in model.named_parameters() if "norm" in n or n.endswith("bias")}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)],
)
def test_kinds(change, name, kind):
    assert type(build(change(optimizer=name))[1]) is kind


def test_warmup_then_half_a_cosine(change):
    recipe = change(epochs=4, warmup_epochs=0.5, schedule="cosine")
    factors = [lr_factor(recipe, step, 10) for step in range(40)]
    assert factors[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert factors[5] == 1.0
    assert factors[5:] == sorted(factors[5:], reverse=True)
    assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 34 / 35)))
    assert lr_factor(recipe, 40, 10) == pytest.approx(0.0)
    assert lr_factor(recipe, 400, 10) == pytest.approx(0.0)


def test_constant(change):
    assert {lr_factor(change(epochs=4), step, 10) for step in range(40)} == {1.0}
    warm = change(epochs=4, warmup_epochs=1.0)
    assert lr_factor(warm, 9, 10) < 1.0 == lr_factor(warm, 10, 10)


def test_a_linear_probe_has_no_backbone_rate(change):
    _, optimizer = build(change(frozen_stages=5))
    set_learning_rates(optimizer, 0.5)
    assert learning_rates(optimizer) == (0.0015, 0.0)
