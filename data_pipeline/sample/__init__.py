"""Generated sample covers, so that everything can be tried with no data at hand.

Read `genres` for what is drawn, `layouts` for how, and `draw` for how a sample is put together.
Needs no network, no system font and no licence: all of it is drawn by code.
"""

from covertune.data_pipeline.sample.draw import SampleSummary, draw_sample

__all__ = ["SampleSummary", "draw_sample"]
