"""What is done with a model folder: predict the genres of covers, evaluate on a store.

In: a model folder, covers or a store. Out: genres with probabilities, measures. No Ray, no study.
"""
