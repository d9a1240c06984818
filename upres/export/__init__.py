"""Export models to files for other programs, verified against the source before they are put in place."""
