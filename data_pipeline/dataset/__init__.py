"""What trials train on: decoded covers, batch after batch.

In: a store, a split, an image size. Out: batches on a trial's device, of covers that lie decoded in
Ray's object store, on a disk, or are decoded anew in each epoch. Imported module by module: batches
need torch, which decoding workers can do without.
"""
