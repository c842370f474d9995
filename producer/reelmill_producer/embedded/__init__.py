"""The farm of `reelmill up`: its server, its worker and the file by which others find it. Imports common only."""
