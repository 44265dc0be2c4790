"""Pydantic models of the HTTP API and of the agent's protocol, to and from the domain."""
