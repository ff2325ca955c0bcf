"""Stand-in for SageMaker's Factorization Machines image."""
