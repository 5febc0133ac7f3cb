"""`python -m search.cli`: the same as `covertune`."""

from search.cli import main

main()
