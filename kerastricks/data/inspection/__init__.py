"""Inspection of the input pipeline: previews of its images, profiles of its steps, throughput."""
