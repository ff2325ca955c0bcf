"""SageMaker's container contract: folders, configuration, failure file, log lines and HTTP."""
