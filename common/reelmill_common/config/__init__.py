"""Settings' names and values: how each is read, and the policies that they describe.

Below `settings`, which it does not import.
"""
