"""What the fields of a job may hold, and the metadata beside its spec. Imports text, profiles and errors."""
