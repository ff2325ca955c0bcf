"""``fmrec explore``: a page on this machine to look at what the HTTP API answers (docs/how-to/explore.md)."""
