"""Watching a cluster: a Prometheus that scrapes its nodes, and a Grafana dashboard over what it finds."""
