"""What a worker's parent does beside its jobs: pruning, reports, schedules, notifications.

Above all other folders.
"""
