"""Doctor: what is wrong with Redis, the store and this machine, and what to do. Imports `embedded` and common."""
