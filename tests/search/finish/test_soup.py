"""The average a search exports: found on validation covers, of real checkpoints."""

import optuna
import pytest
import torch

from covertune.data_pipeline import CoverStore
from covertune.models import FineTuner, Recipe
from covertune.models.training.checkpoint import write_state
from covertune.search.cluster.workers import Workers
from covertune.search.config import SearchConfig
from covertune.search.finish.soup import Ingredients
from covertune.search.plan import Slots
from covertune.search.record.run_folder import RunFolder
from covertune.search.record.study import ranked
from covertune.search.setup.feed import WholeFeed

SLOTS = Slots(count=2, cpus_per_trial=1, gpus_per_trial=0.0, cpus=2, gpus=0, nodes=1)
CPU = torch.device("cpu")


def recipe(**overrides):
    settings = {"backbone": "small_cnn", "image_px": 32, "epochs": 2, "batch_size": 16}
    return Recipe(**(settings | {"lr_head": 2e-3, "lr_backbone": 2e-3} | overrides))


@pytest.fixture(scope="module")
def covers(store):
    return WholeFeed(CoverStore.open(store)).for_trials(32)["squash"]


@pytest.fixture(scope="module")
def trained(covers):
    """A training state that is good at its task."""
    train = covers["train"].batches(16, CPU, shuffle=True, seed=0)
    tuner = FineTuner(recipe(), 3, CPU, steps_per_epoch=len(train))
    for epoch in (1, 2):
        tuner.train_epoch(train.epoch(epoch))
    return tuner.state_dict()


@pytest.fixture
def made_of(tmp_path, covers):
    """Ingredients of the given states, the first the best, and the soup they make."""

    def of(*states):
        run = RunFolder.create(SearchConfig(runs_dir=tmp_path, name="run"))
        study = optuna.create_study(direction="maximize")
        for place, (state, settings) in enumerate(states):
            trial = study.ask()
            trial.set_user_attr("recipe", recipe(**settings).model_dump(mode="json"))
            study.tell(trial, 0.9 - 0.1 * place)
            write_state(state, run.checkpoint(trial.number))
        ingredients = Ingredients.of(run, ranked(study.trials), [], "none", 3)
        return ingredients, ingredients.greedy_soup(covers["val"], Workers(SLOTS))

    return of


def shaken(state, by):
    """The same model, its weights moved in a direction that is always the same."""
    generator = torch.Generator().manual_seed(0)
    moved = {
        name: tensor + by * tensor.std() * torch.randn(tensor.shape, generator=generator)
        if tensor.is_floating_point() and tensor.dim() > 1
        else tensor
        for name, tensor in state["model"].items()
    }
    return state | {"model": moved}


def test_two_that_err_in_opposite_ways_are_averaged(made_of, trained):
    ingredients, soup = made_of((shaken(trained, 1.5), {}), (shaken(trained, -1.5), {}))
    assert soup.shares == {0: 1, 1: 1}
    assert soup.in_words == "trial 0, trial 1"
    average = ingredients.model(soup.shares).state_dict()
    for name, tensor in trained["model"].items():
        assert torch.allclose(average[name], tensor, atol=1e-5), name


def test_a_twin_adds_nothing(made_of, trained):
    _, soup = made_of((trained, {}), (trained, {}))
    assert soup is None


def test_a_broken_one_stays_out(made_of, trained):
    _, soup = made_of((trained, {}), (shaken(trained, 30.0), {}))
    assert soup is None


def test_among_those_as_good_the_lowest_loss_is_taken(made_of, trained):
    _, soup = made_of((shaken(trained, 2.0), {}), (trained, {}), (shaken(trained, 30.0), {}))
    assert soup.trial == 1
    assert soup.in_words == "trial 1"


def test_one_alone_is_no_average(made_of, trained):
    ingredients, soup = made_of((trained, {}), (trained, {"image_px": 64}))
    assert ingredients.others == ()
    assert soup is None
