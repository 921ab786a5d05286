"""Charts for self-contained HTML pages: axes, parallel coordinates, inline SVG, the page's frame and style."""
