"""Pictures: read, write, color profiles, resize, pairs of LR and HR."""
