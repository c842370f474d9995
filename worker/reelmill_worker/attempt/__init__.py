"""One attempt at a job: its lease, GPU meter, logs and failure. May import `host`, `ipc` and `reelmill_common`."""
