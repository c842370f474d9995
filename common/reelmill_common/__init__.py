"""What producers and workers share: jobs, settings, errors, the ledger and the clip stores. Never torch.

It imports neither producer nor worker.
"""

from importlib.metadata import version as _version

__version__ = _version("reelmill")
