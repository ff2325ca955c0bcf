"""What a deployment trains and serves with: hyperparameters, and the defaults of its settings."""
