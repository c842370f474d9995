"""Windows, cron expressions and times of day as people write them. Imports errors alone of this package."""
