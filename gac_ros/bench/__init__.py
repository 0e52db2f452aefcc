"""Benchmarks: measure, keep each run as JSON, and render the report from these files."""
