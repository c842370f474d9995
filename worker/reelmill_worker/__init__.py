"""The worker: one Celery parent per GPU, and a child that renders and delivers. May import `reelmill_common` only."""
