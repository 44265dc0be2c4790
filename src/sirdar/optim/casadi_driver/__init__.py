"""``ipopt`` as AMPL's drivers are, on CasADi in Python: for machines without a C compiler.

python -m sirdar.optim.casadi_driver STUB -AMPL [option=value ...]
"""
