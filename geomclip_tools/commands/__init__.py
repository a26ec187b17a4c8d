"""The subcommands of `geomclip`: each parses flags into settings, calls a function and writes its result to a file."""
