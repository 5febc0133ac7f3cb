"""Trials: what each tries, how it trains, which are stopped."""
