"""Where it all runs: Ray sessions on one machine or on a cluster."""
