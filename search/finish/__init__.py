"""The end of a search: which model leaves, what it is worth, what mattered.

In: a study whose trials have ended, their checkpoints. Out: the model folder, the outcome. Here
alone the test split is read.
"""
