"""What the input pipeline does: previews, timings, the plan of its steps."""
