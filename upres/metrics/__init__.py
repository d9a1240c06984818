"""Image quality metrics: PSNR, SSIM, NIQE, and spectral energy of checkerboard patterns."""
