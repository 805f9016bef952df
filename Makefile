# Every target sets up what it needs in .venv, so a fresh clone needs only Python and make.
PYTHON ?= python3
LOWEST_PYTHON ?= $(shell python3.10 -c "import sys; print(sys.executable)" 2>/dev/null || echo $(PYTHON))
BIN := .venv/bin
DEVICE ?= cpu
# Tests run in as many processes as there are CPUs, each computing on one thread.
PYTEST = env TINYFACE_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal
BENCH ?= --all

.PHONY: demo test test-fast test-reference test-lowest test-install bench lint clean help

# The stamp carries the extras that are installed; pyproject.toml decides when to do it again.
.venv/dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

.venv/run: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/reference: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,reference]'
	touch $@

demo: .venv/run       ## draw toy faces, train both networks, evaluate and predict; leaves pictures in demo/
	rm -rf demo
	$(BIN)/python cli.py draw-faces --out demo/first --train 2 --val 1 --test 1 --seed 1
	$(BIN)/python cli.py predict demo/first/celeba/Img/img_align_celeba --out demo/first_predictions
	@echo "A first picture is in demo/first_predictions: four new faces, and what the networks in weights/ predict"
	$(BIN)/python cli.py draw-faces --out demo/faces --train 1000 --val 50 --test 150
	$(BIN)/python cli.py train-seg --preset demo --data demo/faces --out demo/seg \
		--steps 1000 --optimizer adam --lr 0.005 --warmup 100 --val-every 1000
	$(BIN)/python cli.py train-attr --ssp --ssg --preset demo --data demo/faces --seg-weights demo/seg/best.h5 \
		--out demo/attr --steps 240 --optimizer adam --lr 0.0015 --warmup 20
	$(BIN)/python cli.py evaluate demo/seg/best.h5 --data demo/faces --split test
	$(BIN)/python cli.py evaluate demo/attr --data demo/faces --split test
	$(BIN)/python cli.py predict demo/faces/celeba/Img/img_align_celeba/00105[1-4].jpg --weights demo/attr --out demo/predictions
	@echo "Look at demo/seg/parsing.png, demo/predictions and demo/*/curve.png"

test: .venv/dev       ## all tests but the comparison with PyTorch
	$(PYTEST) -m "not reference" --device $(DEVICE)

test-fast: .venv/dev  ## the tests that take no more than seconds
	$(PYTEST) -m "not reference and not slow" --device $(DEVICE)

test-reference: .venv/reference  ## every op and network against PyTorch, every measure against scikit-learn
	$(PYTEST) -m reference

test-lowest: .venv/dev  ## the fast tests and lint with the oldest Python and packages that pyproject.toml allows
	$(LOWEST_PYTHON) -m venv --clear .venv/lowest
	$(BIN)/python tests/helpers/lower_bounds.py > .venv/lowest/bounds.txt
	.venv/lowest/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c .venv/lowest/bounds.txt
	$(MAKE) test-fast lint BIN=.venv/lowest/bin

test-install:         ## builds, installs and uses both archives, away from the checkout
	PYTHON=$(PYTHON) tests/install.sh

bench: .venv/reference  ## times everything beside PyTorch, for half an hour or so; leaves bench/cpu.md and bench/cpu.json
	$(BIN)/python benchmarks/cpu.py $(BENCH) --json bench/cpu.json --markdown bench/cpu.md

lint: .venv/dev       ## ruff check and ruff format --check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:                ## removes environments, archives and what commands left behind
	rm -rf .venv bench build demo dist runs toyfaces predictions *.egg-info

help:                 ## lists these targets
	@sed -n 's/^\([a-z-]*\):.*## */\1\t/p' $(MAKEFILE_LIST) | expand -t 16
