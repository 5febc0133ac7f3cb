"""The quality of the search, held by recorded learning curves: hours of training in seconds."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SIMULATE = Path(__file__).parents[2] / "benchmarks" / "simulate.py"


@pytest.fixture(scope="module")
def regrets(tmp_path_factory):
    """(seeds, 3) points of regret by contestant, 8 workers."""
    out = tmp_path_factory.mktemp("simulation") / "regrets.json"
    contestants = "covertune,random + ASHA"
    command = [sys.executable, SIMULATE, "--seeds", "12", "--workers", "8", "--json", out]
    subprocess.run([*command, "--contestants", contestants], check=True, capture_output=True)
    return {row["contestant"]: np.array(row["regret"]) for row in json.loads(out.read_text())}


@pytest.mark.slow
def test_regret_falls_with_the_budget(regrets):
    assert (np.diff(regrets["covertune"], axis=1) <= 0).all()


@pytest.mark.slow
def test_a_search_is_better_than_chance_with_early_stopping(regrets):
    assert regrets["covertune"].mean() < regrets["random + ASHA"].mean()
