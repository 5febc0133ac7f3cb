"""Earlier runs: which of their recipes are tried first, and that they arrive unchanged."""

import optuna
import pytest

from covertune.models import Recipe
from covertune.search.config import SearchConfig
from covertune.search.errors import RunError
from covertune.search.plan import InputVariant
from covertune.search.record.compat import close_storage
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import create_study
from covertune.search.space.portfolio import Portfolio
from covertune.search.space.sampler import make_sampler
from covertune.search.space.search_space import BackboneOptions, SearchSpace
from covertune.search.space.warm_start import EarlierRecipe, earlier_recipes

LITE = BackboneOptions("efficientnet_lite0", stages=9, pretrained=True, image_px=(96, 128))
CNN = BackboneOptions("small_cnn", stages=4, pretrained=False, image_px=(64, 128))


def space(*backbones):
    config = SearchConfig(backbones=tuple(b.name for b in backbones))
    probed = {
        InputVariant.square(b.name, px, "squash")
        for b in backbones
        if b.pretrained
        for px in b.image_px
    }
    return SearchSpace(config.trial_plan, backbones, frozenset(probed))


def portfolio_of(space, *recipes):
    return Portfolio(space, [EarlierRecipe(role=f"recipe: {n}", recipe=r) for n, r in recipes])


def tried(space, portfolio):
    """Role and recipe of all a portfolio has to offer."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    while True:
        before = len(study.trials)
        portfolio.enqueue_next(study)
        if len(study.trials) == before:
            return
        trial = study.ask()
        yield trial.user_attrs["role"], space.suggest(trial)


@pytest.fixture
def earlier_run(tmp_path):
    """A run of four measured trials of which the third is best, and one that failed."""

    def make(name="earlier", backbone="small_cnn", values=(0.2, 0.5, 0.6, 0.4, 0.3)):
        run = RunFolder.create(SearchConfig(runs_dir=tmp_path, name=name))
        study = create_study(run, make_sampler("random", 0), None)
        run.start(SearchConfig(), store_fingerprint="f", image_px={backbone: (64,)})
        for number, value in enumerate(values):
            trial = study.ask()
            role = "sampled" if number else "untuned"
            recipe = Recipe(backbone=backbone, image_px=64, epochs=3, lr_head=1e-3, lr_backbone=0.1)
            trial.set_user_attr("role", role)
            trial.set_user_attr("recipe", recipe.model_dump(mode="json") | {"seed": number})
            study.tell(trial, value)
        failed = study.ask()
        failed.set_user_attr("role", "sampled")
        study.tell(failed, state=optuna.trial.TrialState.FAIL)
        close_storage(study)
        return run

    return make


@pytest.mark.parametrize("backbones", [(LITE,), (LITE, CNN)])
def test_a_recipe_of_the_same_space_comes_back_as_it_was(backbones):
    chosen = space(*backbones)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(30):
        recipe = chosen.suggest(study.ask())
        role, again = list(tried(chosen, portfolio_of(chosen, ("one", recipe))))[1]
        assert role == "recipe: one"
        assert again.model_copy(update={"seed": 0}) == recipe.model_copy(update={"seed": 0})


def test_a_recipe_of_another_size_gets_the_nearest_one():
    recipe = Recipe(
        backbone=LITE.name, image_px=112, fit="crop", epochs=9, lr_head=1e-3, lr_backbone=1e-4
    )
    chosen = space(LITE)
    _, again = list(tried(chosen, portfolio_of(chosen, ("one", recipe))))[1]
    assert (again.image_px, again.fit, again.lr_backbone) == (96, "squash", 1e-4)


def test_a_known_recipe_that_won_before_is_tried_once():
    chosen = space(LITE)
    offered = list(tried(chosen, Portfolio(chosen)))
    winner = offered[1][1]
    again = list(tried(chosen, portfolio_of(chosen, ("winner", winner))))
    assert len(again) == len(offered)
    assert again[1][0] == "recipe: winner"


def test_the_three_best_are_taken_and_the_yardstick_never(earlier_run):
    run = earlier_run(values=(0.9, 0.5, 0.6, 0.4, 0.3))
    found = earlier_recipes((run.path,), ["small_cnn"])
    assert [given.recipe.seed for given in found] == [2, 1, 3]
    assert found[0].role == "recipe: trial 2 of earlier"


def test_several_runs_in_the_order_they_are_named(earlier_run):
    paths = tuple(earlier_run(name).path for name in ("one", "two"))
    found = earlier_recipes(paths[::-1], ["small_cnn"])
    assert [given.role for given in found[::3]] == [
        "recipe: trial 2 of two",
        "recipe: trial 2 of one",
    ]


def test_a_run_of_other_backbones_teaches_nothing(earlier_run):
    run = earlier_run()
    with pytest.raises(RunError, match=r"no measured trial of efficientnet_lite0; name a backbone"):
        earlier_recipes((run.path,), ["efficientnet_lite0"])


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run at"):
        earlier_recipes((tmp_path / "none",), ["efficientnet_lite0"])
