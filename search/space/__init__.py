"""What a trial may try: the space of recipes, known recipes first, then the sampler's.

In: a configuration, what is known of the backbones, an Optuna trial. Out: a `Recipe`.
"""
