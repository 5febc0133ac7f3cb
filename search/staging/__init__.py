"""Before the first trial: is everything there and working, and what do trials share."""
