"""The command line: one module a group of commands; everything heavy is imported when a command runs."""
