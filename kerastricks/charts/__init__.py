"""What pages are drawn with: axes, parallel coordinates, the frame and the style of a page."""
