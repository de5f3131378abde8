"""Meta-learning: learning on many networks how to adapt to a new one in few episodes."""
