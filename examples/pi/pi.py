"""Estimates pi by throwing points at a square: python3 pi.py --seed 1 --throws 200000

Prints KEY = VALUE lines. One run is one sample; run it with many seeds and take the mean.
"""

import argparse
import random


def hits(seed: int, throws: int) -> int:
    """How many of the points fall into the quarter of the circle."""
    source = random.Random(seed)
    return sum(source.random() ** 2 + source.random() ** 2 <= 1.0 for _ in range(throws))


def main() -> None:
    parser = argparse.ArgumentParser(description="Estimates pi by throwing points at a square.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--throws", type=int, default=200_000)
    asked = parser.parse_args()
    print(f"seed = {asked.seed}")
    print(f"pi = {4 * hits(asked.seed, asked.throws) / asked.throws:.8f}")


if __name__ == "__main__":
    main()
