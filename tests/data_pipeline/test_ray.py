import logging

import pytest
import ray
from ray.exceptions import RayTaskError, WorkerCrashedError

from data_pipeline import DataError, StoreError, _ray

pytestmark = pytest.mark.usefixtures("local_ray")


def test_a_running_ray_is_taken_as_it_is():
    before = ray.get_runtime_context().get_node_id()
    _ray.ensure_ray()
    assert ray.get_runtime_context().get_node_id() == before
    assert _ray.num_cpus() == 2


def test_quiet_only_inside():
    import ray.data

    context = ray.data.DataContext.get_current()
    logger = logging.getLogger("ray.data")
    before = [handler.level for handler in logger.handlers]
    with pytest.raises(RuntimeError), _ray.quiet_ray_data():
        assert not context.enable_progress_bars
        assert [handler.level for handler in logger.handlers] != before
        raise RuntimeError
    assert context.enable_progress_bars
    assert [handler.level for handler in logger.handlers] == before


@ray.remote
def _fail(error):
    raise error


class TestCausesRaised:
    @pytest.mark.parametrize("error", [StoreError("damaged"), FileNotFoundError(2, "gone")])
    def test_errors_of_a_task_come_unwrapped(self, error):
        with pytest.raises(type(error)) as caught, _ray.causes_raised("decoding"):
            ray.get(_fail.remote(error))
        assert not isinstance(caught.value, RayTaskError)
        assert str(caught.value) == str(error)

    def test_defects_keep_their_traceback(self):
        with pytest.raises(RayTaskError, match="in _fail"), _ray.causes_raised("decoding"):
            ray.get(_fail.remote(ZeroDivisionError("a defect")))

    def test_lost_work_is_one_line(self):
        message = "Ray lost its work while decoding: .*; look for the cause in Ray's logs"
        with pytest.raises(DataError, match=message) as caught, _ray.causes_raised("decoding"):
            raise WorkerCrashedError
        assert "\n" not in str(caught.value)
