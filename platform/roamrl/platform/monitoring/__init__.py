"""What a run tells those who watch it: metrics for Prometheus, and loggers of experiment trackers."""
