"""What a policy is worth: evaluation on tasks, statistics over runs, transfer metrics."""
