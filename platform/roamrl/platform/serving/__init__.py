"""Experts behind HTTP: what a request must hold, who answers it, and how the service starts and stops."""
