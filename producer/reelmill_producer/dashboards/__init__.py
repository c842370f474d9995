"""Flower, and the metrics of a farm without workers on this host.

Imports the client's side, not the command line.
"""
