"""Model files of unknown architecture: run as is by the engine for their format, and measured by a probe first."""
