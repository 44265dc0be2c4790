"""Telling somebody that a job has ended: signed webhooks and e-mail, retried on one schedule."""
