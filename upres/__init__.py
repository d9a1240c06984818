"""upres: train, measure and run ESRGAN super-resolution."""
