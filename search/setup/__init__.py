"""Before the first trial: is everything there and working, and what do trials share.

In: a configuration, a store. Out: a `SearchContext`: checked backbones, covers decoded or
streamed, probes, the search space; for a run that is resumed, the trials to go on with.
"""
