"""The command line `reelmill`: stdout is data, stderr is for people, and every error has its exit status.

It may import every other folder of the producer; none imports it.
"""

from reelmill_producer.cli.commands import app, main

__all__ = ["app", "main"]
