"""What a search was worth, and what is done with its model."""
