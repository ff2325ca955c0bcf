"""What is provisioned: settings, stacks and the state machine. No business logic, no boto3, no Spark."""
