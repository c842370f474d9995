"""The commands and checks that the worker adds to `reelmill`. Above all other folders of the worker."""
