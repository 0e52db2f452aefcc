# Two commands are enough on a fresh machine: `make demo` and `make test`. Each sets up .venv first.
#   PYTHON=...    interpreter to make .venv with (3.10, 3.11 or 3.12; found when not given)
#   ROBOT=...     robot of `make demo`
#   EPISODES=...  episodes of `make demo`
#   ARGS=...      further arguments of `make demo`, `make test`, `make bench` and `make bench-learning`

PYTHON ?=
ROBOT ?=
EPISODES ?=
ARGS ?=

VENV := .venv
STAMP := $(VENV)/.installed
COLCON := .colcon

# Another environment's, or a sourced ROS installation's, packages and libraries must not leak into
# this one: its own Python starts find their libraries only where the mark of the ROS wheels is not
# set (they set the library path and start again).
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE AMENT_PREFIX_PATH PYTHONHOME PYTHONPATH RMW_IMPLEMENTATION
unexport PIP_PREFIX PIP_TARGET PIP_USER VIRTUAL_ENV
ifdef LD_LIBRARY_PATH
export LD_LIBRARY_PATH := $(shell printf '%s\n' "$$LD_LIBRARY_PATH" | tr ':' '\n' | while IFS= read -r d; do \
	case "$$d" in ('' | /opt/ros/* | */site-packages/ros_*.libs) continue ;; esac; \
	[ -e "$${d%/lib}/pyvenv.cfg" ] || printf '%s:' "$$d"; done | sed 's/:$$//')
endif

# A moved checkout, or an interpreter that is gone: set up anew.
ifneq ($(wildcard $(STAMP)),)
ifneq ($(shell sed 's/^[^ ]* //' $(VENV)/.made_for 2>/dev/null),$(CURDIR))
$(shell rm -f $(STAMP))
endif
ifneq ($(shell $(VENV)/bin/python -c 'print(1)' 2>/dev/null),1)
$(shell rm -f $(STAMP))
endif
endif

.DEFAULT_GOAL := help
LIBRARY := benchmarks/value_based

.PHONY: help setup demo test bench bench-learning value-based lint format types contracts colcon clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r name text; do \
		printf '  make %-14s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## Make .venv and install the package with its pinned dependencies

$(STAMP): setup.py constraints.txt
	@PYTHON='$(PYTHON)' sh .ci/make_venv $(MAKECMDGOALS)

demo: $(STAMP) ## Run the packaged policy on the simulated robot over ROS 2 (ROBOT=pointmaze_umaze EPISODES=5)
	@$(VENV)/bin/gac demo $(if $(ROBOT),--robot '$(ROBOT)') $(if $(EPISODES),--episodes $(EPISODES)) $(ARGS)

test: $(STAMP) ## Run the whole test suite
	@$(VENV)/bin/python -m pytest -q $(ARGS)

bench: $(STAMP) ## Measure control: decision, latency over DDS, planning, jitter (16 minutes, best idle)
	@$(VENV)/bin/gac bench control $(ARGS)

bench-learning: $(STAMP) value-based ## Make the missing runs of the learning benchmark (many hours) and its report
	@$(VENV)/bin/gac bench learning $(ARGS)
	@$(VENV)/bin/gac bench report

value-based: $(LIBRARY)/.venv/.installed ## Make the environment of the benchmark's value-based methods

$(LIBRARY)/.venv/.installed: $(LIBRARY)/requirements.txt $(LIBRARY)/constraints.txt | $(STAMP)
	@$(VENV)/bin/python -m venv --clear $(LIBRARY)/.venv
	@$(LIBRARY)/.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
		--requirement $(LIBRARY)/requirements.txt --constraint $(LIBRARY)/constraints.txt
	@touch $@

lint: $(STAMP) ## Check style and formatting
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .

format: $(STAMP) ## Mend style and formatting where that is safe
	$(VENV)/bin/python -m ruff check --fix .
	$(VENV)/bin/python -m ruff format .

types: $(STAMP) ## Check types
	$(VENV)/bin/python -m mypy

contracts: $(STAMP) ## Check that imports run one way
	$(VENV)/bin/lint-imports

colcon: $(STAMP) ## Build with colcon and start the built nodes once
	@case '$(CURDIR)' in (*' '*) echo 'make: colcon cannot build where the path has a space' >&2; exit 1 ;; esac
	$(VENV)/bin/colcon --log-base $(COLCON)/log build --packages-select gac_ros \
		--build-base $(COLCON)/build --install-base $(COLCON)/install \
		--event-handlers console_cohesion+
	$(VENV)/bin/python .ci/start_installed.py $(COLCON)/install

clean: ## Remove .venv and everything built
	rm -rf $(VENV) $(COLCON) build dist install log *.egg-info
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
