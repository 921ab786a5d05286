"""From the bytes of a file to pixels, and the caches of pixels."""
