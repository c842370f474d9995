"""The names and values of settings, and the policies in them. Imports calendar, jobs, text, profiles and errors."""
