"""Policy transfer: what an expert from one network is worth in another."""
