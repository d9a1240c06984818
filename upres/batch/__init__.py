"""Many files: what is to be done, the run over them, and how it is resumed."""
