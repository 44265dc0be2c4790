"""Ways to run programs, behind one ``Executor`` protocol: ``process`` (through the porter) and ``mock``."""
