"""What the pages of upres share: colors, slider, magnifier. One stands alone in a file (`comparison/`), one is served (`serve/`)."""
