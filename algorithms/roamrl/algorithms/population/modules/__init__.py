"""Policy modules whose members are stacked along the first axis, by kind of observation."""
