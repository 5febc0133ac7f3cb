"""What the live table says of the gap and of the disk."""

import io
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from covertune.models import UNTUNED, ProgressMetrics
from covertune.search.cli.render.console import show_bytes
from covertune.search.cli.render.live import LiveView
from covertune.search.events import SearchPlan
from covertune.search.plan import Baseline, Slots


@pytest.fixture
def view(tmp_path):
    """A search whose untuned trial runs; the baseline is a probe's 0.5."""
    view = LiveView()
    slots = Slots(count=2, cpus_per_trial=1, gpus_per_trial=0, cpus=2, gpus=0, nodes=1)
    view._plan = SearchPlan(
        tmp_path / "a", "store", 3, {"train": 9}, slots, 4, None, 2, Baseline("probe", 0.5)
    )
    view.trial_started(0, "untuned", UNTUNED)
    return view


def measured(top1):
    everything = dict.fromkeys(ProgressMetrics.model_fields, 0) | {"epoch": 1, "top1": top1}
    return ProgressMetrics(**everything), [[1]]


def test_the_gap_is_told_above_the_table(view):
    assert view._gap.in_words == "probe 0.500"
    view.epoch(SimpleNamespace(number=0), *measured(0.3))
    view.trial_started(1, "sampled", UNTUNED)
    view.epoch(SimpleNamespace(number=1), *measured(0.4))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(view._render())
    second = console.export_text().splitlines()[1].rstrip()
    assert second == "untuned 0.300, best 0.400 (+10.0 points), probe 0.500, gap closed 50%"


def before_the_resume(number, state, top1, **attributes):
    trial = create_trial(
        state=state,
        value=top1 if state is TrialState.COMPLETE else None,
        intermediate_values={1: top1},
        user_attrs=attributes,
    )
    trial.number = number
    return trial


def test_what_was_measured_before_a_resume_counts(view):
    known = [
        before_the_resume(0, TrialState.RUNNING, 0.3, role="untuned"),
        before_the_resume(1, TrialState.COMPLETE, 0.4),
        before_the_resume(2, TrialState.FAIL, 0.9),
    ]
    view.started(view._plan, known, 5.0)
    assert view._gap.in_words == (
        "untuned 0.300, best 0.400 (+10.0 points), probe 0.500, gap closed 50%"
    )
    view.trial_started(0, "untuned", UNTUNED)
    assert view._lines[0].top1 == 0.3
    view.trial_ended(before_the_resume(0, TrialState.COMPLETE, 0.45, role="untuned"))
    assert (view._lines[0].epoch, view._lines[0].top1) == (1, 0.45)
    assert view._best == (0.45, 0)


def test_checkpoints_are_told_below_the_table(view):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(view._render())
    assert "checkpoints" not in console.export_text()
    view.checkpoints(42_000_000, 170_000_000)
    console.print(view._render())
    assert (
        console.export_text().splitlines()[-1].rstrip()
        == "checkpoints 42 MB, 170 MB at most so far"
    )


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 kB"), (840_400, "840 kB"), (12e6, "12 MB"), (1.26e9, "1.3 GB")]
)
def test_bytes_for_people(count, shown):
    assert show_bytes(int(count)) == shown
