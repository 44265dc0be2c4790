"""Content-addressed bytes: written once, never changed, named by their sha256. Today the local disk; the seam is ``base``."""
