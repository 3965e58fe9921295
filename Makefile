# Everything lives in .venv with the versions of requirements/*.lock; each target sets up what it needs.
# The virtual environment brings its own ROS 2, so a sourced one is kept out of it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ifneq ($(AMENT_PREFIX_PATH),)
unexport LD_LIBRARY_PATH
endif
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --no-input
STAMPS := $(VENV)/stamps
LEROBOT := 0.4 0.6
INTERFACES := $(shell find test/interfaces -type f -not -path '*/__pycache__/*')
BUILT := CMakeLists.txt package.xml pyproject.toml setup.py $(wildcard cmake/* msg/* srv/* scripts/*)
SHARED := $(shell find config launch rviz -type f -not -path '*/__pycache__/*')

.PHONY: help setup demo test test-lerobot drill lint bench lock clean

help:
	@echo "make setup   .venv with pinned versions, ROS 2 and the messages included"
	@echo "make demo    play nominal, out-of-distribution and killed-process episodes on the simulated arm"
	@echo "make test    run the tests (adds the development tools, torch among them)"
	@echo "make test-lerobot   tap and ensembles on LeRobot's own code, in environments of their own"
	@echo "make drill   fault and contract tests with many processes; for a machine with nothing else to do"
	@echo "make lint    ruff and mypy"
	@echo "make bench   success and detection rates of the shipped policy and bundle, latencies"
	@echo "make lock    write requirements/*.lock from what .venv holds"
	@echo "make clean   remove build leftovers, caches and out/ (.venv stays)"

setup: $(STAMPS)/share
	@echo "ready: $(VENV)/bin/vla-monitor --help"

demo: $(STAMPS)/share $(if $(filter widowx,$(ROBOT)),$(STAMPS)/interfaces)
	@$(VENV)/bin/vla-monitor demo $(if $(ROBOT),--robot $(ROBOT)) $(if $(POLICY_SERVER),--policy-server $(POLICY_SERVER))

test: $(STAMPS)/share $(STAMPS)/dev $(STAMPS)/interfaces
	@ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST $(RUN) -m pytest

# LeRobot's pins agree with nobody's: one environment a version (LEROBOT=0.6 for that one alone), no ROS, no download
# of weights.
test-lerobot:
	@for version in $(LEROBOT); do \
	  $(PYTHON) requirements/lerobot_env.py .venv-lerobot/$$version requirements/lerobot-$$version.lock; \
	  HF_HUB_OFFLINE=1 .venv-lerobot/$$version/bin/python -m pytest --confcutdir=test/lerobot test/lerobot; \
	done

drill: $(STAMPS)/share $(STAMPS)/dev $(STAMPS)/interfaces
	@ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST $(RUN) -m pytest -m drill

lint: $(STAMPS)/dev
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

bench: $(STAMPS)/share
	@$(RUN) -m benchmarks.policy
	@$(RUN) -m benchmarks.latency --quick

lock: $(STAMPS)/dev
	@$(RUN) requirements/lock.py

clean:
	rm -rf build dist install log out *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/venv: requirements/system.sh
	@echo "[1/3] system packages and $(VENV)"
	@requirements/system.sh $(PYTHON)
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/runtime: requirements/runtime.lock $(STAMPS)/venv
	@echo "[2/3] $$(grep -c == $<) pinned packages"
	@$(PIP) install -r $< | { grep --line-buffered -v -e '^Requirement already satisfied' -e '^Looking in' || true; }
	@touch $@

# The editable build compiles the messages: about a minute on 2 cores, ninja's lines are the progress.
$(STAMPS)/package: $(STAMPS)/runtime $(BUILT)
	@echo "[3/3] messages and the package (compiling, about a minute)"
	@$(PIP) install -v --no-build-isolation --no-deps -e . 2>&1 | tee $(VENV)/build.log \
	  | { grep --line-buffered -E '^ *\[[0-9]+/[0-9]+\]|error:|CMake Error' || true; } | cut -c 1-120 \
	  || { tail -n 40 $(VENV)/build.log; echo "error: the build failed; the whole log is $(VENV)/build.log"; exit 1; } >&2
	@touch $@

# An editable install copies these; copy them again when they change, instead of building everything again.
$(STAMPS)/share: $(STAMPS)/package $(SHARED)
	@mkdir -p $(VENV)/share/vla_monitor && cp -r config launch rviz $(VENV)/share/vla_monitor/
	@touch $@

# Message packages of the robots' drivers, for what speaks to them here (compiling, about half a minute).
$(STAMPS)/interfaces: $(STAMPS)/runtime cmake/ros_wheels.cmake $(INTERFACES)
	@echo "[+] interface packages of test/interfaces"
	@$(RUN) test/interfaces/build.py > $(VENV)/interfaces.log 2>&1 \
	  || { tail -n 40 $(VENV)/interfaces.log; echo "error: the build failed; the whole log is $(VENV)/interfaces.log"; exit 1; } >&2
	@touch $@

$(STAMPS)/dev: requirements/dev.lock $(STAMPS)/runtime
	@echo "[+] $$(grep -c == $<) packages for development"
	@$(PIP) install -r $< | { grep --line-buffered -v -e '^Requirement already satisfied' -e '^Looking in' || true; }
	@touch $@
