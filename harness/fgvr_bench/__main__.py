"""Run ``fgvr-bench`` as ``python -m fgvr_bench``."""

from fgvr_bench.entry import main

if __name__ == "__main__":
    main()
