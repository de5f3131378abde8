"""The family ``bandit-v1``: Bernoulli bandits whose arms' probabilities are hidden."""
