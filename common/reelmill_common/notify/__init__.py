"""Notifications: the event stream, told to webhooks, Slack channels and mailboxes by whoever holds the lease on it."""
