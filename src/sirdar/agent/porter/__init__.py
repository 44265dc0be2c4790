"""The porter: a small process that starts programs, waits for them, and outlives the agent.

It is started with ``python -I -S`` and imports the standard library only (and of that neither ``dataclasses`` nor
``asyncio``), so that it is quick to start and small. It listens on a unix socket in the agent's directory.
It uses no ``pathlib`` either, and the modules for Unix begin with ``assert sys.platform``, before their imports, which is
how type checkers learn to skip them elsewhere: hence the two exceptions from the linter at their heads.
``docs/explanation/agent.md`` describes what it does; the messages are in ``server.py``.
"""
