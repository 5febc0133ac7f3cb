"""What needs a Ray of its own runs in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run_script():
    """Run Python with arguments; the environment points to the Ray that is named, or to none."""

    def run(script, *arguments, timeout_s, ray_address=None):
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        if ray_address is not None:
            environment["RAY_ADDRESS"] = ray_address
        return subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run
