"""Answers about a farm: why work waits, what is done when, what happened, what the store lacks. Imports the client."""
