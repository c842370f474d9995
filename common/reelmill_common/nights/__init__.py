"""Nights: the hours in which batches and workers may run, and batches that are submitted at a time of their own."""
