"""What a trained classifier is worth: predictions, measures, calibration.

In: a classifier and batches, or what it told of covers. Out: `Predictions`, `Measurement`, a
temperature. Imported module by module.
"""
