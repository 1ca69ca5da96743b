"""Do the intervals of a board cover, and do its tests keep their level?  Simulated datasets with class effects.

Each class has its own accuracy, drawn from a beta distribution: `likeness` is the share of an answer's variance that is
its class's (the intra-class correlation).  ``coverage`` is how often a 95 % interval holds the truth, clustered and,
for comparison, with every question for itself; ``level`` how often two equally good models are called different at
5 %, by the clustered sign-flip test and by McNemar's; ``board`` how often a board of ten equally good models ranks
any of them below another.

    python benchmarks/board_statistics.py --rounds 2000
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from fgvr_bench.core.ranking import rank
from fgvr_bench.core.statistics import clustered_interval, mcnemar_exact, mean_of_datasets, sign_flip_test
from fgvr_bench.core.tallies import tally

UNEVEN = np.random.default_rng(0).lognormal(4, 0.6, 102).clip(20, 238).astype(int)
SHAPES = {
    "24 classes of 50": np.full(24, 50),
    "200 classes of 29": np.full(200, 29),
    "102 classes of 20 to 238": UNEVEN,
    "8 very uneven classes": np.array([200, 20, 20, 20, 20, 20, 40, 100]),
}


def main() -> None:
    """Print a line for each shape of dataset, accuracy and likeness."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000, help="simulated datasets a line")
    rounds = parser.parse_args().rounds
    generator = np.random.default_rng(1)
    print(f"{'dataset':<26} {'accuracy':>8} {'likeness':>8} | {'coverage':>8} {'as if alone':>11} | "
          f"{'level':>6} {'McNemar':>7}")  # fmt: skip
    for name, sizes in SHAPES.items():
        for share in (0.5, 0.9):
            for likeness in (0.0, 0.1, 0.3):
                print(
                    f"{name:<26} {share:>8} {likeness:>8} | {line(sizes, share, likeness, rounds, generator)}",
                    flush=True,
                )
    print(f"mean of the four, accuracy 0.7, likeness 0.1: coverage {averages(rounds, generator):.3f}")
    print(f"boards of ten equal models, 24 classes of 50, likeness 0.1: {boards(rounds // 5, generator):.3f} rank one")


def answers(
    sizes: NDArray[np.int64], share: float, likeness: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw right and wrong answers."""
    scale = (1 - likeness) / likeness if likeness else 0.0
    of_class = generator.beta(share * scale, (1 - share) * scale, len(sizes)) if scale else np.full(len(sizes), share)
    return generator.random(int(sizes.sum())) < np.repeat(of_class, sizes)


def line(sizes: NDArray[np.int64], share: float, likeness: float, rounds: int, generator: np.random.Generator) -> str:
    """Simulate one kind of dataset."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    alone = np.arange(len(clusters))
    held = held_alone = flipped = different = 0
    for _ in range(rounds):
        one, other = (answers(sizes, share, likeness, generator) for _ in range(2))
        interval, naive = clustered_interval(one, clusters), clustered_interval(one, alone)
        held += interval.low <= share <= interval.high
        held_alone += naive.low <= share <= naive.high
        flipped += sign_flip_test(one, other, clusters) < 0.05
        different += mcnemar_exact(one, other) < 0.05
    shares = [count / rounds for count in (held, held_alone, flipped, different)]
    return f"{shares[0]:>8.3f} {shares[1]:>11.3f} | {shares[2]:>6.3f} {shares[3]:>7.3f}"


def averages(rounds: int, generator: np.random.Generator) -> float:
    """Return how often the interval of a mean over datasets holds the truth."""
    held = 0
    for _ in range(rounds):
        figures = []
        for sizes in SHAPES.values():
            correct = answers(sizes, 0.7, 0.1, generator)
            figures.append(
                (float(correct.mean()), clustered_interval(correct, np.repeat(np.arange(len(sizes)), sizes)))
            )
        _, interval = mean_of_datasets(figures)
        held += interval.low <= 0.7 <= interval.high
    return held / rounds


def boards(rounds: int, generator: np.random.Generator) -> float:
    """Return how often luck ranks a model of ten below another."""
    sizes = SHAPES["24 classes of 50"]
    clusters = np.repeat(np.arange(24), sizes).astype(np.int32)
    found = 0
    for _ in range(rounds):
        runs = [np.packbits(answers(sizes, 0.7, 0.1, generator)).tobytes() for _ in range(10)]
        found += max(rank([tally(runs, clusters)]).ranks) > 1
    return found / rounds


if __name__ == "__main__":
    main()
