"""What the live table says of the gap and of the disk."""

import io
import re
import time
from functools import partial
from types import SimpleNamespace

import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from covertune.models import UNTUNED, ProgressMetrics
from covertune.search.cli.render import live
from covertune.search.cli.render.console import show_bytes, show_duration
from covertune.search.cli.render.live import LiveView
from covertune.search.events import BackboneCheck, PreflightReport, SearchPlan
from covertune.search.plan import Baseline, Slots

COVERS = {"train": 9, "val": 2000, "test": 9}


@pytest.fixture
def plan(tmp_path):
    """A search of four trials of two epochs, two side by side; the baseline is a named 0.5."""
    slots = Slots(count=2, cpus_per_trial=1, gpus_per_trial=0, cpus=2, gpus=0, nodes=1)
    named = Baseline("probe", 0.5)
    return SearchPlan(tmp_path / "a", "store", 3, COVERS, slots, 4, None, 2, named, 1.5)


@pytest.fixture
def view(plan):
    """A search whose untuned trial runs."""
    view = LiveView()
    view._plan = plan
    view.trial_started(0, "untuned", UNTUNED)
    return view


def measured(top1, epoch=1, seconds=0):
    known = {"seconds": seconds, "epoch": epoch, "top1": top1, "any_top1": None}
    everything = dict.fromkeys(ProgressMetrics.model_fields, 0) | known
    return ProgressMetrics(**everything), [[1]]


def test_the_gap_is_told_above_the_table(view):
    assert view._gap.in_words == "probe 0.500"
    view.epoch(SimpleNamespace(number=0), *measured(0.3))
    view.trial_started(1, "sampled", UNTUNED)
    view.epoch(SimpleNamespace(number=1), *measured(0.4))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(view._render())
    second = console.export_text().splitlines()[1].rstrip()
    assert second == (
        "untuned 0.300, best 0.400 (+10.0 points, 95 % interval +7.1 to +12.9), probe 0.500, "
        "gap closed 50 % (38 % to 61 %)"
    )


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
        "untuned 0.300, best 0.400 (+10.0 points, 95 % interval +7.1 to +12.9), probe 0.500, "
        "gap closed 50 % (38 % to 61 %)"
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


# -- epochs and the time left ----------------------------------------------------------------------


def rows(view):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(view._render())
    return console.export_text().splitlines()


def test_a_trial_is_in_an_epoch_before_it_has_measured_one(view):
    assert " in 1 of 2 " in rows(view)[-1]
    view.epoch(SimpleNamespace(number=0), *measured(0.3))
    assert " in 2 of 2 " in rows(view)[-1]
    view.trial_ended(before_the_resume(0, TrialState.COMPLETE, 0.3, role="untuned"))
    assert " 1 of 2 " in rows(view)[-1]
    view.trial_started(1, "sampled", UNTUNED)
    view.trial_ended(create_trial_without_value(1))
    assert rows(view)[-1].split()[2] == "-"
    assert "0 of" not in "".join(rows(view))
    assert "0/" not in "".join(rows(view))


def create_trial_without_value(number):
    trial = create_trial(state=TrialState.FAIL, user_attrs={"reason": "out of memory"})
    trial.number = number
    return trial


@pytest.fixture
def clock(monkeypatch):
    """The monotonic clock, standing still unless it is moved."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(live.time, "monotonic", lambda: now.s)
    monkeypatch.setattr(live, "TimeLeft", partial(live.TimeLeft, clock=lambda: now.s))
    return now


def check(backbone, epoch_s):
    return BackboneCheck(
        backbone, 128, 9, True, "node", "cpu", 27.0, 114.0, 500.0, 300.0, 14.0, epoch_s=epoch_s
    )


def test_the_time_left_follows_what_trials_take(plan, clock):
    view = LiveView()
    view.preflight(PreflightReport((check(UNTUNED.backbone, 90.0),), (), None))
    view.started(plan, [], 0.0)
    view.trial_started(0, "untuned", UNTUNED)
    view.trial_started(1, "sampled", UNTUNED)
    clock.s += 40
    assert "left" not in view._headline().plain, "nothing is measured yet"
    view.epoch(SimpleNamespace(number=0), *measured(0.3, seconds=40))
    # 40 s an epoch, not 90. The untuned trial has one epoch to go, the other, which has trained for
    # as long as one takes, half of one more, and two trials of 1.5 are to come: two side by side.
    assert view._headline().plain.endswith("  ·  about 90 s left")


def test_a_resumed_search_tells_the_time_left_at_once(plan, clock):
    view = LiveView()
    history = [{"seconds": 30.0, "epoch": 1}, {"seconds": 30.0, "epoch": 2}]
    recipe = UNTUNED.model_dump(mode="json")
    trial = create_trial(
        value=0.3,
        intermediate_values={1: 0.2, 2: 0.3},
        user_attrs={"history": history} | {"recipe": recipe},
    )
    view.preflight(PreflightReport((check(UNTUNED.backbone, 90.0),), (), None))
    view.started(plan, [trial], 60.0)
    assert view._headline().plain.endswith("  ·  about 68 s left")  # 3 * 1.5 epochs of 30 s, by two


# -- where output is piped -------------------------------------------------------------------------


def test_a_line_for_each_measured_epoch(plan, capsys):
    view = LiveView()
    view.started(plan, [], 0.0)
    view.trial_started(0, "untuned", UNTUNED)
    for epoch, top1 in ((1, 0.25), (2, 0.375)):
        progress, confusion = measured(top1, epoch)
        view.epoch(
            SimpleNamespace(number=0), progress.model_copy(update={"seconds": 48.0}), confusion
        )
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1 of 2  trial   0  top-1 0.250  48 s",
        "epoch 2 of 2  trial   0  top-1 0.375  48 s",
    ]


def lines_until(capsys, wanted):
    """What was printed once the wanted text is in it; waits for it."""
    lines, until = [], time.monotonic() + 10
    while not any(wanted in line for line in lines) and time.monotonic() < until:
        time.sleep(0.02)
        lines += capsys.readouterr().out.splitlines()
    return lines


def test_a_line_a_minute_says_how_it_all_stands(plan, capsys):
    with LiveView(line_every_s=0.1) as view:
        view.phase("decoding covers")
        view.progress(40, 120)
        lines = lines_until(capsys, "so far")
        assert re.fullmatch(r"decoding covers  40 of 120  0?\.?\d s so far", lines[-1])
        view.started(plan, [], 0.0)
        view.trial_started(0, "untuned", UNTUNED)
        view.epoch(SimpleNamespace(number=0), *measured(0.25, seconds=60))
        [line] = [line for line in lines_until(capsys, "  ·  ") if "  ·  " in line][:1]
        assert line.startswith("a  ·  0 of 4 trials ended  ·  best top-1 0.250 (trial 0)  ·  0")
        assert re.search(r"  ·  about \d+ min left$", line)
    capsys.readouterr()
    time.sleep(0.3)
    assert capsys.readouterr().out == "", "it has ended"


def test_no_more_lines_than_that(plan, capsys):
    with LiveView(line_every_s=60) as view:
        view.phase("decoding covers")
        time.sleep(0.2)
    assert capsys.readouterr().out == "decoding covers …\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s"),
        (0.04, "0.04 s"),
        (0.24, "0.2 s"),
        (0.97, "1 s"),
        (48.4, "48 s"),
        (3900, "1 h 05 min"),
    ],
)
def test_durations_for_people(seconds, shown):
    assert show_duration(seconds) == shown
