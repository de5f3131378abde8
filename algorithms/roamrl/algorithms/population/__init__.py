"""The population engine: many small policies learned as one, in plain torch and NumPy."""
