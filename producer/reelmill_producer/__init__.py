"""The producer: submit prompts, follow jobs, keep an embedded farm. Never torch.

It imports common, never the worker.
"""
