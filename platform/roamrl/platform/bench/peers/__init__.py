"""Training loops of others, set to the same work: network, rows an iteration, epochs, minibatches."""
