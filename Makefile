# make demo     the offline benchmark, from nothing to a leaderboard
# make test     linters, types and all tests
# make trust    the long forms of the tests of crashes, faults and inputs (docs/reliability.md)
# make site     the documentation as a site, in build/site
# make results  the committed results: are they what they claim to be, and is their board current
#
# All share one virtual environment, .venv, which is made and kept up to date by itself.
# PYTHON=python3.12 picks the interpreter; TORCH=cpu or TORCH=default the build of torch.

PY := .venv/bin/python
RESULTS := build/demo

# What another environment put there must not leak into this one.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.PHONY: demo test trust results test-wheel lint format docs transcripts site clean distclean venv

demo: venv
	@$(PY) -m fgvr_bench run --model moth-idefics2 --model moth-finedefics --model moth-clip --model random --model always-a --dataset moth-24 --results-dir $(RESULTS)
	@echo
	@$(PY) -m fgvr_bench leaderboard build $(RESULTS)
	@echo
	@echo "The results are in $(RESULTS)."

# What .github/workflows/leaderboard.yml asks of a pull request.
results: venv
	$(PY) -m fgvr_bench results verify results --published
	$(PY) -m fgvr_bench leaderboard build results --reported --strict --output results/LEADERBOARD.md --check

test: lint
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n logical --maxprocesses 4

lint: venv
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy

format: venv
	$(PY) -m ruff check --fix
	$(PY) -m ruff format

# All tests once more, against the built wheel in place of the checkout.
test-wheel: venv
	OMP_NUM_THREADS=1 $(PY) scripts/overlay.py build/overlay -m pytest -q -n logical --maxprocesses 4

# 100 kills and moments for each piece of work, every step on files with every error, 130,000 inputs.
trust: venv
	@mkdir -p build
	OMP_NUM_THREADS=1 FGVR_TEST_KILLS=100 FGVR_TEST_ROUNDS=100 FGVR_TEST_INPUTS=110000 FGVR_TEST_REPORT=$(CURDIR)/build/trust.jsonl \
		$(PY) -m pytest -q -n logical --maxprocesses 4 --durations=0 tests/test_run_killed.py tests/test_ranks_disturbed.py tests/test_trust_*.py finedefics/tests/test_training_crashes.py finedefics/tests/test_training_inputs.py

# Tables of models and datasets and the help of every command, from the code itself.
docs: venv
	$(PY) scripts/generate_docs.py

# Types the commands of the pages for beginners; WRITE=--write puts what they print into the pages.
transcripts: venv
	$(PY) scripts/transcripts.py $(WRITE) docs/quick-start.md docs/tutorials/*.md

# A dead link or a page without a place in the navigation is an error.
site: venv
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict
	@echo "Open build/site/index.html; no server is needed."

venv:
	@python=$$(scripts/find-python) && "$$python" scripts/bootstrap.py

clean:
	rm -rf build dist $(RESULTS) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info finedefics/src/*.egg-info

distclean: clean
	rm -rf .venv
