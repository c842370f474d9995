"""`python -m reelmill` is `reelmill`."""

from __future__ import annotations

from reelmill_producer.cli import main

if __name__ == "__main__":
    main()
