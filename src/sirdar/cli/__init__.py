"""The command line: thin commands over the client. Nothing heavy is imported before a command needs it."""
