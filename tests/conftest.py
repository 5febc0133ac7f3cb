"""What holds for all tests, and the one Ray they share: each start of one costs seconds."""

import pytest
from hypothesis import settings

# The machine may be slow, and a first call may import torch: time is no property of the code here.
settings.register_profile("covertune", deadline=None)
settings.load_profile("covertune")


def pytest_addoption(parser):
    # Here and not in chaos/: pytest learns options only from the first conftests it meets.
    parser.addoption(
        "--kills", type=int, default=3, help="how often the chaos tests kill each kind of process"
    )
    parser.addoption(
        "--chaos-seed", type=int, default=None, help="repeats the moments of an earlier chaos test"
    )


@pytest.fixture(scope="session")
def local_ray():
    """Two CPUs, no dashboard, quiet; whatever other Ray runs on this machine is none of ours."""
    import ray

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
    )
    yield
    ray.shutdown()
