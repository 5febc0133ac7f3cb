"""What holds for all tests."""

from hypothesis import settings

# The machine may be slow, and a first call may import torch: time is no property of the code here.
settings.register_profile("covertune", deadline=None)
settings.load_profile("covertune")
