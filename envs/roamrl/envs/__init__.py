"""Wireless task families: contexts, tasks, splits, and batched environments. Never imports Ray or torch."""
