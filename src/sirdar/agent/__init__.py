"""The agent: a process on a resource that fetches tasks from the server, runs them and reports how they ended.

``docs/explanation/agent.md`` says how its parts work together. Nothing is imported here: the porter, which uses the
standard library only, lives in this package.
"""
