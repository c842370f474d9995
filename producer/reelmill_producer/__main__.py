"""`python -m reelmill_producer` is `reelmill`: for processes that must not depend on the PATH."""

from __future__ import annotations

from reelmill_producer.cli import main

if __name__ == "__main__":
    main()
