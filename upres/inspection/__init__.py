"""What a picture is before anything is done to it: true resolution, JPEG compression, noise, banding, drawn or
photographed, gray.
"""
