"""Where the time goes, function by function: a window of the kernel, an update, an iteration of training."""
