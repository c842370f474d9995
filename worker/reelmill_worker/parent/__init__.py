"""The Celery parent of one GPU: keeps house and never imports torch."""
