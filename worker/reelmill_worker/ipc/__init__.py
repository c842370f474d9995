"""Files by which a worker's child reports to its parent: status, progress, counters. Imports common only."""
