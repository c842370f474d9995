"""Untrusted text: prompts, names, tokens, terminals and JSON. Imports errors and profiles of this package."""
