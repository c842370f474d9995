"""What a producer gets of a batch: downloads, results, recipes, tags. Imports the client."""
