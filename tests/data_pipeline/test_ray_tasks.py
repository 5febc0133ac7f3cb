import subprocess
import sys
import time

import pytest
import ray
from ray.exceptions import RayTaskError, WorkerCrashedError

from covertune.data_pipeline import DataError, StoreError, ray_tasks

pytestmark = pytest.mark.usefixtures("local_ray")


@ray.remote
def _fail(error):
    raise error


class TestCausesRaised:
    @pytest.mark.parametrize("error", [StoreError("damaged"), FileNotFoundError(2, "gone")])
    def test_errors_of_a_task_come_unwrapped(self, error):
        with pytest.raises(type(error)) as caught, ray_tasks.unwrap_ray_errors("decoding"):
            ray.get(_fail.remote(error))
        assert not isinstance(caught.value, RayTaskError)
        assert str(caught.value) == str(error)

    def test_defects_keep_their_traceback(self):
        with pytest.raises(RayTaskError, match="in _fail"), ray_tasks.unwrap_ray_errors("decoding"):
            ray.get(_fail.remote(ZeroDivisionError("a defect")))

    def test_lost_work_is_one_line(self):
        message = "Ray lost its work while decoding: .*; look for the cause in Ray's logs"
        with (
            pytest.raises(DataError, match=message) as caught,
            ray_tasks.unwrap_ray_errors("decoding"),
        ):
            raise WorkerCrashedError
        assert "\n" not in str(caught.value)


class TestRunTasks:
    def test_each_once_with_the_common_arguments(self):
        results = list(ray_tasks.run_tasks("adding", _add, range(20), much=100))
        assert sorted(results) == list(range(100, 120))

    def test_asks_for_work_as_it_goes(self):
        """What is not yet asked for takes no memory."""
        asked = []

        def todo():
            for number in range(50):
                asked.append(number)
                yield number

        results = ray_tasks.run_tasks("adding", _add, todo(), much=0)
        next(results)
        assert len(asked) == 2 * ray_tasks.num_cpus() + 1
        assert len(list(results)) == 49

    def test_nothing_to_do(self):
        assert list(ray_tasks.run_tasks("adding", _add, [], much=0)) == []

    def test_an_error_of_a_task_comes_unwrapped(self):
        with pytest.raises(StoreError, match=r"^damaged$"):
            list(ray_tasks.run_tasks("failing", _raise, [StoreError("damaged")] * 9))

    def test_what_nobody_waits_for_is_cancelled(self, tmp_path):
        results = ray_tasks.run_tasks("touching", _touch_slowly, range(8), folder=tmp_path)
        next(results)
        results.close()
        ray.get(ray.remote(_add).remote(1, much=1))  # the CPUs are free again
        time.sleep(1)
        assert len(list(tmp_path.iterdir())) < 4


def _add(number, much):
    return number + much


def _raise(error):
    raise error


def _touch_slowly(number, folder):
    time.sleep(0.5 * number)
    (folder / str(number)).touch()


PROGRAM = """
import gc, time
from covertune.data_pipeline import ray_tasks
from covertune.data_pipeline.local_ray import start_local_ray

def fill(number):
    time.sleep(3 - time.time() % 3)  # all at once, however busy the machine
    raise OSError(28, "No space left on device")

start_local_ray(num_cpus=2)
try:
    list(ray_tasks.run_tasks("filling a disk", fill, range(20)))
except OSError as error:
    print(error)
gc.collect()
time.sleep(2)
"""


def test_tasks_that_failed_alike_are_told_once():
    """Ray prints on standard error, later, what failed and was never asked for."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout == "[Errno 28] No space left on device\n"
    assert "Unhandled error" not in done.stderr
