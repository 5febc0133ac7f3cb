import pickle

import pytest

from covertune.models import (
    Collapse,
    EpochReport,
    ModelError,
    NonFiniteLoss,
    TrainingFailure,
    WeightsError,
)

REPORT = EpochReport(1, 0.1, 0.2, 0.3, 0.4, 0.5, 6.0, 0.7, 0.8, 0.9, 1.0, [[1, 2], [3, 4]])


@pytest.mark.parametrize("kind", [NonFiniteLoss, Collapse])
def test_reason_and_report_survive_the_way_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("went wrong", REPORT)))
    assert type(error) is kind
    assert (str(error), error.reason, error.report) == ("went wrong", "went wrong", REPORT)
    assert isinstance(error, TrainingFailure)


def test_one_root():
    assert issubclass(WeightsError, ModelError)
    assert issubclass(TrainingFailure, ModelError)
