"""Which trials may go on, and for how long the search does.

In: measured values, a clock. Out: decisions. Pure functions and small objects, without Ray.
"""
