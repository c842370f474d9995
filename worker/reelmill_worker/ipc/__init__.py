"""Files by which a worker's child and parent tell each other how they are: status, progress, counters."""
