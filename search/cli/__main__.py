"""`python -m covertune.search.cli`: the same as `covertune`."""

from covertune.search.cli import main

main()
