"""TODO: say what this folder is and what it may import."""
