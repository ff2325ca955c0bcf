"""What a run was and brought about, for people: a page, and a few lines for a terminal."""
