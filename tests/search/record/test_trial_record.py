"""A trial's user attributes: what is written is read, under the names that studies have."""

import ast
from pathlib import Path

import optuna
import pytest

from covertune.models import ProgressMetrics, Recipe
from covertune.search.errors import RunError
from covertune.search.record.trial_record import ROLE_UNTUNED, TrialRecord

SEARCH = Path(__file__).parents[3] / "search"
RECIPE = Recipe(backbone="small_cnn", image_px=32, epochs=2, lr_head=0.1, lr_backbone=0.1)


def measured(epoch, **more):
    everything = dict.fromkeys(ProgressMetrics.model_fields, 0.5)
    return ProgressMetrics(**everything | {"epoch": epoch, "covers_seen": 9} | more)


@pytest.fixture
def trial():
    return optuna.create_study().ask()


@pytest.fixture
def written(trial):
    """What a reader of the study sees."""
    return lambda: TrialRecord(trial.study.get_trials()[0])


def test_a_new_trial_has_nothing(trial):
    record = TrialRecord(trial)
    assert (record.role, record.is_untuned, record.settings) == (None, False, {})
    assert (record.history, record.seconds, record.reason, record.halved_at) == ([], 0, None, None)
    with pytest.raises(RunError, match="trial 0 has no recipe this version"):
        _ = record.recipe


def test_what_is_written_is_read(trial, written):
    record = TrialRecord(trial)
    record.set_role(ROLE_UNTUNED)
    record.set_recipe(RECIPE)
    record.begin(0)
    history = [measured(1, seconds=2.5), measured(2, seconds=3.0)]
    record.set_history(history)
    record.set_place(node="here", node_id="1", device="cpu")
    record.set_micro_batch(8)
    record.set_halved_at(2)
    record.set_end("successive halving", recipe_at_fault=False)
    read = written()
    assert read.is_untuned
    assert read.recipe == RECIPE
    assert read.history == history
    assert read.seconds == 5.5
    assert (read.node, read.device, read.micro_batch) == ("here", "cpu", 8)
    assert (read.halved_at, read.reason, read.is_recipe_at_fault) == (
        *(2, "successive halving", False),
    )
    assert set(trial.user_attrs) == {
        *("role", "recipe", "begun_at", "history", "node", "node_id", "device", "micro_batch"),
        *("halved_at", "reason", "recipe_at_fault"),
    }


def test_it_counts_by_epoch(trial, written):
    record = TrialRecord(trial)
    for epochs in (0, 1, 1):
        record.begin(epochs)
    assert [written().times_begun_at(epochs) for epochs in (0, 1, 2)] == [1, 2, 0]
    assert [record.count_lost_worker(epochs) for epochs in (1, 1, 2)] == [1, 2, 1]


def test_who_is_begun_again_was_not_halved(trial, written):
    record = TrialRecord(trial)
    record.set_halved_at(1)
    record.begin(1)
    assert written().halved_at is None


@pytest.mark.parametrize("file", sorted(SEARCH.rglob("*.py")), ids=lambda file: file.stem)
def test_nobody_else_reads_or_writes_them(file):
    """But for those of the study itself, and for Optuna's insides."""
    if file.name in ("trial_record.py", "compat.py"):
        return
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in ("user_attrs", "set_user_attr"):
            owner = ast.unparse(node.value)
            assert owner.endswith("study"), f"{owner}.{node.attr} in line {node.lineno}"
