"""Model files to named arrays, without torch and without running anything that a file says."""
