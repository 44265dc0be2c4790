"""Reaching other servers on a user's behalf: which addresses, and how bytes are fetched from them."""
