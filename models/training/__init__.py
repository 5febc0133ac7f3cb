"""Fine-tuning: from a recipe and batches to a trained classifier.

In: a `Recipe`, a backbone, batches of covers. Out: weights, an `EpochReport` an epoch, training
states to go on from; and the linear probe. Imported module by module: a recipe needs no torch.
"""
