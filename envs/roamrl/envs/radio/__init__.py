"""Radio: link adaptation, fading, traffic sources, and recorded traces."""
