"""Charts for self-contained HTML pages: axes, lines, a matrix, tables, inline SVG, the page's frame and style."""
