"""The command line: one file a verb. It parses, builds one value and calls one function."""
