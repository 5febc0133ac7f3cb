import subprocess
import sys

import pytest

from covertune import models


def test_every_public_name_is_there():
    assert set(models.__all__) == set(models._HOME_OF)
    for name in models.__all__:
        assert getattr(models, name).__doc__
    assert dir(models) == sorted(models.__all__)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        models.nothing  # noqa: B018


def test_a_recipe_does_not_wait_for_torch():
    code = (
        "import sys; from covertune.models import Recipe, ModelError; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
