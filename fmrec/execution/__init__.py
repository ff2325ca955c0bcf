"""One execution of the workflow: its input, its progress, its verdict, its failures and its report."""
