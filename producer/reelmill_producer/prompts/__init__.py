"""Prompt files in many formats, read into checked jobs. Imports common, and nothing else of the producer."""
