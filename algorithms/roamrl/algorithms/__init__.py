"""How policies learn and travel: the population engine and one module a strategy."""
