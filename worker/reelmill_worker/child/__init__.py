"""The process that holds the model: gate, job runner, renderer, prefetch.

May import every folder of the worker but `commands` and `parent`.
"""
