"""The Celery parent of one GPU: housekeeping, message filter, watchdog, metrics.

May import `attempt`, `host`, `ipc` and `reelmill_common`, never torch.
"""
