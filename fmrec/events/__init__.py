"""What users did: kept in a table, used at once, and landed in ``raw/`` for the next run."""
