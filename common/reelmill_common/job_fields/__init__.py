"""Fields of a job's record that are no part of its spec. Below `jobs`, which it does not import."""
