"""Training pictures: folders, pairs, shards, how patches are drawn and augmented."""
