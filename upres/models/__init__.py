"""Models by name: bundled, downloadable, the user's own, and what is blended or chained from them."""
