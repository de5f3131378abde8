"""The family ``navigation-v1``: a point in the plane that has to find a hidden goal."""
