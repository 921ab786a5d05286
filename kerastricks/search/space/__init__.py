"""The search space: parameters, defaults, files."""
