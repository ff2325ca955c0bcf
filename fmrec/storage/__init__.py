"""Where bytes lie: objects on S3 or files on disk, behind one set of functions."""
