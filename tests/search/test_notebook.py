"""What a search tells whom, where nobody gave it an observer; IPython itself is not needed here."""

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest
from ray import tune

from covertune.search.cluster import experiment
from covertune.search.notebook import PrintedLines, default_observer


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def jupyter(monkeypatch):
    """As within Jupyter: IPython runs, and what is printed goes into the cell."""
    module = ModuleType("IPython")
    module.get_ipython = lambda: SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", module)
    return module


def test_a_program_is_not_printed_into(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not isinstance(default_observer(), PrintedLines)


def test_nor_is_one_that_only_imports_ipython(jupyter):
    jupyter.get_ipython = lambda: None
    assert not isinstance(default_observer(), PrintedLines)


def test_nor_is_ipython_on_a_terminal(jupyter, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert not isinstance(default_observer(), PrintedLines)


def test_a_notebook_is_told_what_happens(jupyter, capsys):
    observer = default_observer()
    observer.phase("decoding covers")
    observer.warn("slow")
    check = SimpleNamespace(backbone="small_cnn", image_px=32, device="cpu")
    observer.preflight(SimpleNamespace(checks=[check]))
    observer.probed(SimpleNamespace(backbone="resnet18", metrics=SimpleNamespace(top1=0.25)))
    observer.started(SimpleNamespace(slots=SimpleNamespace(count=2), run="runs/a"), [], 0.0)
    for value, state in ((0.5, "COMPLETE"), (None, "FAIL")):
        state = SimpleNamespace(name=state)
        observer.trial_ended(SimpleNamespace(number=3, value=value, state=state))
    observer.stopping()
    assert capsys.readouterr().out.splitlines() == [
        "decoding covers …",
        "WARNING  slow",
        "ok: small_cnn at 32 px on cpu",
        "ok: frozen probe of resnet18: top-1 0.250 on validation",
        "2 trials side by side; run: runs/a",
        "trial 3: complete, top-1 0.500",
        "trial 3: fail",
        "stopping: running trials keep their last checkpoint …",
    ]


def test_tune_does_not_clear_the_cell(monkeypatch, tmp_path):
    told = {}
    monkeypatch.setattr(experiment, "run_experiment", lambda _, **options: told.update(options))
    monkeypatch.setattr(tune, "with_parameters", lambda trainable, **_: trainable)
    slots = SimpleNamespace(count=1, cpus_per_trial=1, gpus_per_trial=0)
    experiment.run_trials(None, slots, tmp_path, None, None, None, print)
    assert type(told["progress_reporter"]) is tune.CLIReporter
