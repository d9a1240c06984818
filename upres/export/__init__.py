"""Networks as files for other programs, compared with torch before they are written."""
