"""Runs programs as jobs of a Slurm cluster: each as a job of its own (``jobs``), or many inside of an allocation (``pilots``)."""
