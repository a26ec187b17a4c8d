"""The sub-commands of `geomclip`: flags to settings, settings to a function, its result to a file."""
