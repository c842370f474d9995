"""Dashboards: Flower behind a login, and the farm's metrics. Imports `embedded` and common, not the command line."""
