"""Studies: from a YAML file to units, from units to results."""
