"""The part of AWS Glue's Python library that scripts need outside AWS."""
