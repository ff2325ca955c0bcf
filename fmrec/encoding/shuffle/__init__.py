"""Rows on their way between tasks: packed messages, buckets, sorting and hashing."""
