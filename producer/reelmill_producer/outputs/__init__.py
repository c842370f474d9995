"""What a producer gets from a batch: downloads, results, recipes, tags. Imports the client."""
