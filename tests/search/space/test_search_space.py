"""The search space asks only what applies."""

import optuna
import pytest

from covertune.search.config import SearchConfig
from covertune.search.plan import InputVariant
from covertune.search.record.trial_record import ROLE_UNTUNED
from covertune.search.space.portfolio import Portfolio
from covertune.search.space.search_space import BackboneOptions, SearchSpace

LITE = BackboneOptions("efficientnet_lite0", stages=9, pretrained=True, image_px=(128,))
CNN = BackboneOptions("small_cnn", stages=4, pretrained=False, image_px=(64, 128))


PROBED = (InputVariant.square("efficientnet_lite0", 128, "squash"),)


def space(*backbones, probed=PROBED, **settings):
    config = SearchConfig(backbones=tuple(b.name for b in backbones), **settings)
    return SearchSpace(config.trial_plan, backbones, frozenset(probed))


def draw(space, count=40):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trials = [study.ask() for _ in range(count)]
    return [(trial, space.suggest(trial)) for trial in trials]


def test_a_single_backbone_and_size_are_not_asked_for():
    for trial, recipe in draw(space(LITE)):
        assert recipe.backbone == "efficientnet_lite0"
        assert "backbone" not in trial.params
        assert "efficientnet_lite0.image_px" not in trial.params


def test_what_depends_on_the_backbone_is_asked_only_for_it():
    seen = set()
    for trial, recipe in draw(space(LITE, CNN)):
        seen.add(recipe.backbone)
        asked = set(trial.params)
        if recipe.backbone == "small_cnn":
            assert "scratch.lr" in asked
            assert not asked & {"head_init", "layer_decay", "efficientnet_lite0.frozen_stages"}
            assert recipe.lr_head == recipe.lr_backbone
        else:
            assert "efficientnet_lite0.frozen_stages" in asked
            assert "scratch.lr" not in asked
            assert recipe.frozen_stages < LITE.stages
    assert seen == {"efficientnet_lite0", "small_cnn"}


def test_mixing_strength_is_asked_only_with_mixing():
    for trial, recipe in draw(space(LITE)):
        strengths = {"mixup_alpha", "cutmix_alpha"} & set(trial.params)
        assert len(strengths) == (trial.params["mixing"] != "none")
        assert (recipe.mixup_alpha > 0) + (recipe.cutmix_alpha > 0) == len(strengths)


def test_without_a_probe_the_head_starts_at_zero():
    for trial, recipe in draw(space(LITE, probed=())):
        assert recipe.head_init == "zero"
        assert "head_init" not in trial.params


def test_a_recipe_carries_weights_epochs_and_its_own_seed():
    chosen = space(CNN, epochs=4, seed=7, weights={"small_cnn": "none"})
    recipes = [recipe for _, recipe in draw(chosen, 3)]
    assert {recipe.epochs for recipe in recipes} == {4}
    assert [recipe.seed for recipe in recipes] == [7, 8, 9]
    assert {recipe.weights for recipe in recipes} == {"none"}


def test_the_fit_is_asked_for_only_if_there_is_a_choice():
    config = SearchConfig(backbones=(LITE.name,), fits=("pad", "squash"))
    probed = frozenset({InputVariant.square(LITE.name, 128, "pad")})
    chosen = SearchSpace(config.trial_plan, (LITE,), probed, config.fits)
    fits = set()
    for trial, recipe in draw(chosen):
        assert trial.params["fit"] == recipe.fit
        assert ("head_init" in trial.params) == (recipe.fit == "pad"), "squashed covers: no probe"
        fits.add(recipe.fit)
    assert fits == {"pad", "squash"}
    assert chosen.untuned().fit == "squash", "what one does without thinking"
    for fits in (("squash",), ("crop",)):
        only = SearchSpace(config.trial_plan, (LITE,), frozenset(), fits)
        for trial, recipe in draw(only, 3):
            assert "fit" not in trial.params
            assert (recipe.fit,) == fits
        assert (only.untuned().fit,) == fits


def test_known_recipes_take_the_fit_of_the_best_probe():
    config = SearchConfig(backbones=(LITE.name,), fits=("squash", "pad"))
    options = BackboneOptions(LITE.name, 9, True, (128,), "pad")
    chosen = SearchSpace(config.trial_plan, (options,), frozenset(), config.fits)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    portfolio = Portfolio(chosen)
    found = []
    for _ in range(4):
        portfolio.enqueue_next(study)
        found.append(chosen.suggest(study.ask()).fit)
    assert found == ["squash", "pad", "pad", "pad"]


def test_the_yardstick_is_two_epochs_of_adam():
    untuned = space(LITE, CNN).untuned()
    assert (untuned.epochs, untuned.optimizer, untuned.lr_head) == (2, "adam", 1e-3)
    assert untuned.lr_head == untuned.lr_backbone
    assert untuned.head_init == "random"
    assert (untuned.augment_strength, untuned.label_smoothing) == (0, 0)
    assert space(LITE, epochs=1).untuned().epochs == 1
    assert space(CNN).untuned().image_px == 128, "the size the known recipes use"


@pytest.mark.parametrize("backbones", [(LITE,), (CNN,), (LITE, CNN)])
def test_every_answer_of_the_portfolio_is_one_the_space_asks_for(backbones):
    """A stale name in a recipe would be ignored by Optuna without a word."""
    chosen = space(*backbones)
    portfolio = Portfolio(chosen)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    roles = []
    for _ in range(20):
        before = len(study.trials)
        portfolio.enqueue_next(study)
        if len(study.trials) == before:
            break
        trial = study.ask()
        recipe = chosen.suggest(trial)
        roles.append(trial.user_attrs["role"])
        if roles[-1] == ROLE_UNTUNED:
            assert trial.params == {}
            continue
        wanted = study._storage.get_trial_system_attrs(trial._trial_id)["fixed_params"]
        asked = trial.params | {"backbone": recipe.backbone}
        asked[f"{recipe.backbone}.image_px"] = recipe.image_px
        asked["fit"] = recipe.fit
        assert {name: asked.get(name, "never asked") for name in wanted} == wanted
    assert roles[0] == ROLE_UNTUNED
    assert len(roles) == 1 + sum(3 if b.pretrained else 1 for b in backbones)
