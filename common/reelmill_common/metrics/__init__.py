"""The farm's figures for Prometheus. Imports ledger and forecast."""
