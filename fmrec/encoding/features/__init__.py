"""Side features of users, items and interactions: read, measured, and looked up by feature id."""
