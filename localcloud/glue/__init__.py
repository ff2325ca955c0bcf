"""AWS Glue's job runs, executed for real: the deployed script on local Spark."""
