"""What a run leaves behind while it goes on: folder, study, checkpoints, pictures.

In: configuration and results. Out: files that another process can read at any moment, whole or not
at all.
"""
