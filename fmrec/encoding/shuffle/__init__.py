"""Rows on their way between tasks: packed messages, buckets and sorting."""
