"""`python -m covertune`: the same as `covertune`."""

from covertune.search.cli import main

if __name__ == "__main__":
    main()
