"""Turns frames into a published clip, on threads beside the next render.

May import `attempt`, `ipc`, `pipeline` and `reelmill_common`.
"""
