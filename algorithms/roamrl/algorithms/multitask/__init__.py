"""Multi-task strategies: one policy for many tasks."""
