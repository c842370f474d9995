"""The farm of `reelmill up`: its Valkey server, its worker processes and the file that says where they are."""
