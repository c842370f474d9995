"""Notifications of events to webhooks, chat channels and mailboxes. Imports ledger, config, settings and text."""
