"""How things look on a terminal: tables, bars, the live view of a search.

In: what commands have found, what a search tells. Out: lines on standard output, warnings and
errors on standard error.
"""
