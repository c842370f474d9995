"""Questions about a farm: why something waits, what is done by when, what happened, whether the store has it all.

Imports the client.
"""
