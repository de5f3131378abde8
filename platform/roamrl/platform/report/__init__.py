"""The report of a run: figures, tables, a summary in words, and which expert to deploy."""
