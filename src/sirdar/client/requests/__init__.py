"""Pure builders of requests and readers of replies, one module for each part of the API.

A builder returns a ``Request``; a reader takes a ``Reply``. Both clients and the command line use the same ones.
"""
