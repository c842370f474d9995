"""A host: one parent for each GPU, started, named, placed, and started again when it ends."""
