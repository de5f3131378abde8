"""What must hold for runs to work, on this machine and on every node of a cluster, and how to mend what does not."""
