"""Benches: each ``bench_*.py`` has ``run(config) -> list[Row]``; ``make bench`` runs them all."""
