"""Video: decode, upscale and encode frame by frame, with every time stamp and track; resumed after a crash."""
