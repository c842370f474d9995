"""Verdicts on files: signed or not, altered or not, recognised or not, whatever the file does to its readers.

May import `client`, `outputs` and `reelmill_common`. `reader` runs in a process of its own and imports c2pa and FFmpeg.
"""
