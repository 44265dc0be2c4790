"""The agent's loops, one file each. A loop owns one verb; what it must not lose stands in the journal or the outbox."""
