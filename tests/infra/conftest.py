"""The deployment's tests read compose.yaml through Docker Compose, and run its commands as plain processes."""

from fixtures.deployment import composition  # noqa: F401 - a fixture
