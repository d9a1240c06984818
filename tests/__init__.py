"""The tests mirror `upres/` folder by folder; what belongs to no room of it lies here at the root."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
