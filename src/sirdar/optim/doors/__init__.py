"""Commands that behave as AMPL's solvers do: ``NAME STUB -AMPL k=v ...`` reads STUB.nl and writes STUB.sol.

``sirdar optim install`` writes a small script for each. They start without site-packages, and import nothing that is slow.
"""
