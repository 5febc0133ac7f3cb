"""Tables of trials: what fits a line, and what all trials have in common."""

import optuna
import pytest
from rich.console import Console

from covertune.models import Recipe
from covertune.search.cli.render.trial_tables import trials_table


def trial(number, state="COMPLETE", value=None, image_px=64, device="cpu", **attributes):
    recipe = Recipe(
        backbone="efficientnet_lite0", image_px=image_px, epochs=6, lr_head=1e-3, lr_backbone=1e-4
    )
    made = optuna.trial.create_trial(
        state=optuna.trial.TrialState[state],
        value=value,
        user_attrs={"recipe": recipe.model_dump(mode="json"), "device": device, **attributes},
    )
    made.number = number
    return made


@pytest.fixture
def shown():
    def lines(*trials):
        console = Console(width=80)
        with console.capture() as captured:
            console.print(trials_table(list(trials)))
        return [line.rstrip() for line in captured.get().splitlines()]

    return lines


def test_a_line_each_the_best_first(shown):
    lines = shown(trial(0, value=0.2), trial(1, value=0.4), trial(2, state="WAITING"))
    assert [line.split()[0] for line in lines] == ["trial", "1", "0", "2", "all:"]
    assert lines[-1] == "all: efficientnet_lite0, 64 px, cpu"
    assert "efficientnet" not in "".join(lines[:-1])


def test_what_differs_stands_in_the_line(shown):
    lines = shown(trial(0, value=0.2), trial(1, value=0.4, image_px=96, device="Tesla T4"))
    assert "Tesla T4  efficientnet_lite0, 96" in lines[1]
    assert len(lines) == 3


def test_why_it_failed_comes_first(shown):
    lines = shown(
        trial(0, state="PRUNED", value=0.2, reason="successive halving"),
        trial(1, state="FAIL", reason="not a number"),
    )
    assert lines[2].index("(not a number)") == lines[1].index("random head")


@pytest.mark.parametrize("recipe", [None, {"of": "another version"}])
def test_a_trial_without_a_recipe_that_can_be_read(shown, recipe):
    bare = trial(0, state="RUNNING")
    bare.user_attrs = {"role": "untuned"} | ({} if recipe is None else {"recipe": recipe})
    assert shown(bare)[1].split() == ["0", "running", "-", "0", "0", "s", "untuned:"]
