"""What any program needs: files that are never half there, downloads, memory, hardware, processes."""
