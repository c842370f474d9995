"""The producer's tests: the command line, and a hand that does a worker's part."""

from fixtures.cli import cli  # noqa: F401 - a fixture
from fixtures.hand import hand  # noqa: F401 - a fixture
