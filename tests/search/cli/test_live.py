"""What the live table says of the disk."""

import io

import pytest
from rich.console import Console

from models import UNTUNED
from search.cli._console import show_bytes
from search.cli._live import LiveView
from search.cluster import Slots
from search.observer import SearchPlan
from search.run_folder import RunFolder


def test_checkpoints_are_told_below_the_table(tmp_path):
    view = LiveView()
    slots = Slots(count=2, cpus_per_trial=1, gpus_per_trial=0, cpus=2, gpus=0, nodes=1)
    view._plan = SearchPlan(RunFolder(tmp_path / "a"), "store", 3, {"train": 9}, slots, 4, None, 2)
    view.trial_started(0, "untuned", UNTUNED)
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
