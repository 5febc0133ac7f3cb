"""What a run leaves behind while it goes on: folder, study, checkpoints, pictures."""
