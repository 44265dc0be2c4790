"""Use cases, a module for each group of verbs. They check rights, validate, and write through the store."""
