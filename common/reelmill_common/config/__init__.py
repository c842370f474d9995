"""How settings are read: their values and names, and the URLs of Redis.

Below `settings`, which it does not import.
"""
