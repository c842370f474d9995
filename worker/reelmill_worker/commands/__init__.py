"""The commands and checks that the worker adds to `reelmill`.

It may import every other folder of the worker; only `app` stands beside it.
"""
