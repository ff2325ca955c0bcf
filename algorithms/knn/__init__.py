"""Stand-in for SageMaker's k-nearest neighbors image."""
