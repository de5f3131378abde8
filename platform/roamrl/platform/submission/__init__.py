"""Studies as jobs: what goes to a cluster, under which command, and where the results lie."""
