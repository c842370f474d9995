"""What is wrong with Redis, the store and this machine, and what to do.

Imports neither command line nor analysis.
"""
