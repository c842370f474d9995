"""The farm's metrics for Prometheus, and the server that exports them. Imports ledger and forecast."""
