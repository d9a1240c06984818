"""What the pages of upres share, the one in a file and the one that is served: colors, slider, magnifier."""
