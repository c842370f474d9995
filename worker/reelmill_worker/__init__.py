"""The worker: one Celery parent per GPU, a resident pipeline in its child, delivery to the clip store."""
