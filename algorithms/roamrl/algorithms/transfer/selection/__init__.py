"""Which source to start from: selectors as pure functions on arrays of contexts, past gains and probed returns."""
