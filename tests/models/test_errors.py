import pickle

import pytest

from covertune.models import (
    Collapse,
    EpochReport,
    ModelError,
    NonFiniteLoss,
    ProgressMetrics,
    TrainingFailure,
    WeightsError,
)

PROGRESS = ProgressMetrics(**dict.fromkeys(ProgressMetrics.model_fields, 1))
REPORT = EpochReport(PROGRESS, [[1, 2], [3, 4]])


@pytest.mark.parametrize("kind", [NonFiniteLoss, Collapse])
def test_reason_and_report_survive_the_way_between_processes(kind):
    error = pickle.loads(pickle.dumps(kind("went wrong", REPORT)))
    assert type(error) is kind
    assert (str(error), error.reason, error.report) == ("went wrong", "went wrong", REPORT)
    assert isinstance(error, TrainingFailure)


def test_one_root():
    assert issubclass(WeightsError, ModelError)
    assert issubclass(TrainingFailure, ModelError)
