"""Optimisation: solvers as commands, sets of problems, models. Importing the package brings nothing heavy."""
