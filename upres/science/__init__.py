"""Measured data: GeoTIFF, DICOM and NIfTI. Values keep their meaning, places their coordinates, gaps stay gaps."""
