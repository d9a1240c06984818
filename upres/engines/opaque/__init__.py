"""Model files that are run as they are, by their own engine, and measured by a probe first."""
