"""Content-addressed bytes: written once, never changed, named by their sha256. On the local disk or in S3; the seam is ``base``."""
