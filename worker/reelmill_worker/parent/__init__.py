"""The Celery parent of one GPU: housekeeping, departure, message filter, watchdog, metrics.

May import `attempt`, `host`, `ipc` and `reelmill_common`, never torch.
"""
