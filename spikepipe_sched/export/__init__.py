"""A result drawn or written for other programs: text, SVG, HTML, plotly, Chrome trace."""
