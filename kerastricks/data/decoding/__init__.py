"""Decoding of image files to pixels, and caches of decoded images."""
