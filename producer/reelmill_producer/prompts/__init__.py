"""Prompt files in every format that people have, read into checked jobs. Knows no farm but by what it is given."""
