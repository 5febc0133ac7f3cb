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
    """Mean regret after 10, 30 and 100 % of the budget, points of top-1, 8 workers, 16 seeds."""
    out = tmp_path_factory.mktemp("simulation") / "regrets.json"
    command = [sys.executable, SIMULATE, "--seeds", "16", "--workers", "8", "--json", out]
    contestants = ["--contestants", "covertune,random + ASHA"]
    subprocess.run([*command, *contestants], check=True, capture_output=True)
    rows = json.loads(out.read_text())
    assert all(np.shape(row["regret"]) == (16, 3) for row in rows)
    return {row["contestant"]: np.mean(row["regret"], axis=0) for row in rows}


@pytest.mark.slow
def test_regret_falls_with_the_budget(regrets):
    early, middle, late = regrets["covertune"]
    assert late < middle < early
    assert late < 1.2


@pytest.mark.slow
def test_ahead_of_random_search_in_the_end(regrets):
    """Of 50 seeds: 0.78 and 1.32 points, each within 0.2 (`docs/results.md`)."""
    assert regrets["covertune"][-1] < regrets["random + ASHA"][-1] - 0.3
