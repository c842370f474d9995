"""One `reelmill worker`: supervisor, slots, GPUs, load limit. May import `reelmill_common` only."""
