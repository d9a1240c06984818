"""Image input and output: reading, writing, color profiles, resizing, and pairing of LR and HR files."""
