"""From files as people have them to rows that can be used, and to the quarantine with the others."""
