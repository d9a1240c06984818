"""Pictures: read, write, colour profiles, resize, pairs of LR and HR."""
