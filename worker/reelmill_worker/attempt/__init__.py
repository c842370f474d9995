"""One attempt at a job: its lease, what it takes and counts, its last lines, and how it ends without a clip."""
