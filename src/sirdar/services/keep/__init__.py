"""Keeping what a server knows: backups, restoring them, moving a home to PostgreSQL."""
