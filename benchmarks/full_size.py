"""The six published datasets at full size: laid out, answered, killed on the way and resumed.

Lays out all six in their official layouts, under the published names (from the published option caches), with
small drawn pictures; then, with ``--run``, answers all 35,566 questions of their published option sets twice:
undisturbed, and killed several times at random and resumed.  Both have to end with the same bytes.

    python benchmarks/full_size.py /tmp/full-size --run
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from layouts import KEYS, PLUGINS, lay_out, option_cache, published_plan  # noqa: E402

QUESTIONS = 35_566


def main() -> None:
    """Lay out, and run where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where everything is written")
    parser.add_argument("--reference", type=Path, default=Path(os.environ.get("FGVR_REFERENCE", "../shared/reference")))
    parser.add_argument("--splits", default="test,train", help="whose pictures are drawn (default: %(default)s)")
    parser.add_argument("--run", action="store_true", help="answer all questions, undisturbed and killed")
    parser.add_argument("--model", default="moth-clip", help="who answers (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=5, help="times that the second run is killed")
    parser.add_argument("--seed", type=int, default=0, help="decides when")
    given, given.rest = parser.parse_known_args()  # further options are those of fgvr-bench run
    if not given.reference.is_dir():
        sys.exit(f"the published option caches are not at {given.reference}; name their folder with --reference")
    lay_out_all(given.folder, given.reference, tuple(given.splits.split(",")))
    if given.run:
        compare(given)


def lay_out_all(folder: Path, reference: Path, splits: tuple[str, ...]) -> None:
    """Write what is not there yet: six datasets below ``data``, their option caches below ``cache``."""
    print(f"{'dataset':14}{'images':>8}{'drawn in s':>12}{'open s':>8}{'list s':>8}{'bytes an image':>16}")
    for key in KEYS:
        start = time.perf_counter()
        root = folder / "data" / key
        done = folder / "data" / f"{key}.done"
        if not done.exists():
            shutil.rmtree(root, ignore_errors=True)
            lay_out(published_plan(reference, key), root, "official", splits=splits)
            done.touch()
        published = PLUGINS[key].card.published
        assert published is not None
        target = folder / "cache" / "published" / os.path.basename(published.url)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(option_cache(reference, key))
        drawn = time.perf_counter()
        dataset = PLUGINS[key]().open([root])
        opened = time.perf_counter()
        examples = [dataset.examples(split) for split in splits]
        listed = time.perf_counter()
        count = sum(map(len, examples))
        print(
            f"{key:14}{count:8,}{drawn - start:12.1f}{opened - drawn:8.3f}{listed - opened:8.3f}"
            f"{sum(each.held_bytes() for each in examples) / count:16.1f}"
        )


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a run: the data and caches of `folder`, no network."""
    roots = os.pathsep.join(str(folder / "data" / key) for key in KEYS)
    return {**os.environ, "FGVR_DATA": roots, "FGVR_CACHE": str(folder / "cache"), "FGVR_OFFLINE": "1"}


def start_run(given: argparse.Namespace, results: Path) -> subprocess.Popen[bytes]:
    """Start one execution of the benchmark in a process group of its own."""
    command = [sys.executable, "-m", "fgvr_bench", "run", "--model", given.model, "--dataset", "all"]
    command += ["--results-dir", str(results), *given.rest]
    return subprocess.Popen(command, env=environment(given.folder), start_new_session=True)


def answers(results: Path) -> dict[str, bytes]:
    """Return the canonical files of all runs, by path; ``machine.json`` tells of machines and may differ."""
    names = {"responses.jsonl", "run.json"}
    return {str(path.relative_to(results)): path.read_bytes() for path in results.rglob("*") if path.name in names}


def compare(given: argparse.Namespace) -> None:
    """Run undisturbed and killed, and compare."""
    whole, killed = given.folder / "undisturbed", given.folder / "killed"
    for results in (whole, killed):
        shutil.rmtree(results, ignore_errors=True)
    first = timed(given, given.folder / "first")  # options are converted and images hashed on the first run alone
    shutil.rmtree(given.folder / "first")
    seconds = timed(given, whole)
    print(f"first run, option sets converted and images hashed: {first:.1f} s, {QUESTIONS / first:,.0f} questions/s")
    print(f"again: {seconds:.1f} s, {QUESTIONS / seconds:,.0f} questions/s from the first import to the last byte")
    chance = random.Random(given.seed)
    for number in range(given.kills):
        process = start_run(given, killed)
        wait = chance.uniform(0.1, 0.9) * seconds / 2
        try:
            process.wait(wait)
            print(f"the run ended before kill {number + 1}")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            print(f"killed after {wait:.1f} s with {sum(len(data) for data in answers(killed).values()):,} bytes final")
    timed(given, killed)
    mine, theirs = answers(whole), answers(killed)
    count = sum(data.count(b"\n") for name, data in mine.items() if name.endswith("responses.jsonl"))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{count:,} answers; the same bytes: {mine == theirs}; largest process: {peak:,.0f} MiB")
    if mine != theirs or count != QUESTIONS:
        sys.exit(1)


def timed(given: argparse.Namespace, results: Path) -> float:
    """Run to the end and return the seconds it took."""
    start = time.perf_counter()
    if status := start_run(given, results).wait():
        sys.exit(f"the run ended with status {status}")
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
