# ShuffleNet v1's ablation studies. `make help` lists the commands.
#
# Variables: PRESET=quick|cifar10-short|cifar10|tiny|imagenet|smoke  SEEDS=3|3..8  DATA_DIR=folder  WORKERS=2
#            RESULTS=folder  STUDY=groups|shuffle|structures|mobilenet, or one of yours   (make ablation)
#            LAUNCHER=workers|slurm  ARGS="any Hydra override"  FROM=folder (make merge, make reference-pack)
#            WITH=folder (make compare)  KEEP=ours|theirs|first (make merge)
#            CONFIG_DIR=folder (your own configuration groups, looked through after conf/)
#            TABLE=table2|table3 GROUPS=3 WIDTH=0.5 SHUFFLE=true|false PROTOCOL=name   (make explain, make pin)
#            PYTHON=python3.12 VENV=folder TORCH=cpu KERNELS=all CXX=compiler   (when the environment is made)

# A variable that is not among these would be ignored without a word.
KNOWN := PRESET SEEDS DATA_DIR WORKERS RESULTS LAUNCHER ARGS FROM CONFIG_DIR TABLE GROUPS WIDTH SHUFFLE PROTOCOL NAME STUDY \
	WITH CLAIMS CELL WATCH KEEP CALIBRATE PYTHON VENV TORCH KERNELS CXX PY
PYTHON ?= python3
$(foreach name,$(filter-out $(KNOWN),$(.VARIABLES)),$(if $(filter command,$(firstword $(origin $(name)))),\
	$(error $(shell $(PYTHON) scripts/nearest.py '$(subst ','\'',$(name))' $(KNOWN)))))
VENV ?= .venv
PRESET ?= quick
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
PY := $(VENV)/bin/python

# Variables reach commands through the environment, where no character means anything: recipes say "$$NAME" for the
# shell, '$$NAME' for ablations.core.make_variables, which quotes it for Hydra. Make itself reads `$` in no value.
# A folder may begin with ~, which shells leave alone there. MARK stands in no path.
define MARK

//

endef
home = $(subst $(MARK)~/,$(value HOME)/,$(subst $(MARK)~$(MARK),$(value HOME),$(MARK)$(1)$(MARK)))
folder = $(subst $(MARK),,$(call home,$(1)))
$(foreach name,RESULTS DATA_DIR FROM WITH CONFIG_DIR,$(eval override $(name) := $$(call folder,$$(value $(name)))))
override RESULTS := $(or $(RESULTS),results)
$(foreach name,PRESET SEEDS WORKERS LAUNCHER NAME STUDY TABLE GROUPS WIDTH SHUFFLE PROTOCOL CLAIMS CELL WATCH KEEP,\
	$(eval override $(name) := $$(value $(name))))
export RESULTS DATA_DIR FROM WITH CONFIG_DIR PRESET SEEDS WORKERS LAUNCHER NAME STUDY TABLE GROUPS WIDTH SHUFFLE PROTOCOL CLAIMS CELL WATCH KEEP

# A command that takes overrides. An empty variable adds none, so the preset's own value stands.
HYDRA := $(PY) -m ablations.core.make_variables
RUN = 'preset=$$PRESET' 'runtime.results_dir=$$RESULTS' \
	$(if $(findstring ..,$(SEEDS)),'seeds=$$SEEDS',$(if $(SEEDS),"seed=range($$SEEDS)")) \
	$(if $(DATA_DIR),'data.dir=$$DATA_DIR') \
	$(if $(WORKERS),"runtime.workers=$$WORKERS") \
	$(if $(LAUNCHER),'hydra/launcher=$$LAUNCHER') \
	$(ARGS)
# Loggers come with the packages for development.
TRAIN := $(if $(findstring logger=,$(ARGS)),$(READY_DEV),$(READY))
CONFIGS = $(if $(CONFIG_DIR),--config-dir="$$CONFIG_DIR")

# Every documented target is a command, not a file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\#.*/\1/p' $(firstword $(MAKEFILE_LIST)))
.DEFAULT_GOAL := help

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2} \
		/^# Variables:/, /^$$/ {if (/^#/) notes = notes "\n" substr($$0, 3)} END {print notes}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## make the environment from requirements.lock (the other commands do it when needed)

$(READY): requirements.lock $(wildcard model/native/*.hpp model/native/*.cpp)
$(READY_DEV): requirements-dev.lock $(READY)
$(READY) $(READY_DEV):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; say which with PYTHON=") if sys.version_info < (3, 11) else None'
	@$(PYTHON) scripts/install.py $(VENV) $<
	@touch $@

ablation: $(TRAIN) ## train a study, write tables and figures: make ablation STUDY=se CONFIG_DIR=examples/se
	@test -n "$$STUDY" || { echo "error: say which study: make ablation STUDY=name (CONFIG_DIR=folder of your own)" >&2; exit 2; }
	@$(HYDRA) ablations -m $(CONFIGS) 'ablation=$$STUDY' $(RUN)

ablation-%: $(TRAIN) ALWAYS ## the paper's: groups (Table 2), shuffle (Table 3), structures (Table 4), mobilenet (Table 5)
	@$(HYDRA) ablations -m $(CONFIGS) ablation=$* $(RUN)

ALWAYS:
.PHONY: ALWAYS

new-study: $(READY) ## a study, its claims and a network to start from: make new-study NAME=x (CONFIG_DIR=mine)
	@test -n "$$NAME" || { echo "error: say what to call it: make new-study NAME=name" >&2; exit 2; }
	@$(PY) -m ablations.sweep.new_study --folder="$${CONFIG_DIR:-mine}" -- "$$NAME"

ablations: $(TRAIN) ## both studies in one sweep
	@$(HYDRA) ablations -m $(CONFIGS) ablation=groups,shuffle $(RUN)

pilot: override STUDY := $(or $(STUDY),groups)
pilot: override SEEDS := $(or $(SEEDS),3)
pilot: $(TRAIN) ## how far seeds spread, by two cells with three seeds: make pilot STUDY=groups PRESET=cifar10
	@$(HYDRA) ablations -m $(CONFIGS) 'ablation=$$STUDY' $(RUN) pilot=true

cost: $(READY) ## runs, multiply-adds, hours, disk and memory of a study, beforehand (CALIBRATE=1: measured here)
	@$(HYDRA) ablations.cost $(CONFIGS) $(if $(STUDY),'ablation=$$STUDY',ablation=groups,shuffle) $(RUN) $(if $(CALIBRATE),--calibrate)

latency: $(READY) ## inference time of every variant on one core, for the report (some minutes; best on an idle machine)
	@$(PY) -m ablations.latency --results="$$RESULTS" $(ARGS)

tables: $(READY) ## write tables, figures and report anew from the results there are
	@$(PY) -m analysis --results="$$RESULTS" --force $(if $(CLAIMS),--claims="$$CLAIMS")

report: $(READY) ## write results/report.html (with tables and figures) where results have changed
	@$(PY) -m analysis --results="$$RESULTS" $(if $(CLAIMS),--claims="$$CLAIMS")

pin: $(READY) ## whose files lie at the top of tables/ and figures/, the first protocol's at first: make pin PROTOCOL=name
	@$(PY) -m analysis --results="$$RESULTS" --pin="$$PROTOCOL"

explain: $(READY) ## where a number comes from: make explain TABLE=table2 GROUPS=3 WIDTH=0.5 (alone: what there is)
	@$(PY) -m analysis.explain $(if $(TABLE)$(GROUPS)$(WIDTH)$(CELL),"$${TABLE:-table2}") --results="$$RESULTS" $(if $(GROUPS),--groups="$$GROUPS") \
		$(if $(WIDTH),--width="$$WIDTH") $(if $(SHUFFLE),--shuffle="$$SHUFFLE") \
		$(if $(PROTOCOL),--protocol="$$PROTOCOL") $(if $(CELL),--cell $$CELL) $(ARGS)

compare: $(READY) ## do other runs agree with these? make compare WITH=folder (a results folder or a committed study)
	@test -n "$$WITH" || { echo "error: say what to compare with: make compare WITH=results/reference/cifar10" >&2; exit 3; }
	@$(PY) -m analysis.compare $(if $(PROTOCOL),--protocol="$$PROTOCOL") $(ARGS) -- "$$RESULTS" "$$WITH"

counts: $(READY) ## count the networks' multiply-adds anew, after a change of model/
	@$(PY) -m scripts.count_networks

configuration: ## write docs/configuration.md anew from conf/
	@$(PYTHON) scripts/configuration.py

docs: $(READY_DEV) configuration ## build the documentation as a site, in site/
	@$(VENV)/bin/zensical build --clean --strict

notebooks: $(READY_DEV) ## execute the notebooks to .ipynb and .html
	@$(PY) -m analysis.notebooks --results="$$RESULTS"

status: $(READY) ## how far every cell is and when it will be done (WATCH=2: again every 2 seconds)
	@$(PY) -m ablations.status --results="$$RESULTS" $(if $(WATCH),--watch="$$WATCH")

merge: $(READY) ## bring finished runs of another machine in: make merge FROM=folder (KEEP=first: where outcomes differ; ARGS=--dry-run)
	@test -n "$$FROM" || { echo "error: say which results folder to merge: make merge FROM=folder" >&2; exit 2; }
	@$(PY) -m ablations.merge --results="$$RESULTS" $(if $(KEEP),--keep="$$KEEP") $(ARGS) -- "$$FROM"

forget: $(READY) ## list plans; delete with ARGS="--yes", chosen by STUDY=name PROTOCOL=id (runs stay)
	@$(PY) -m ablations.forget --results="$$RESULTS" $(if $(STUDY),--study="$$STUDY") \
		$(if $(PROTOCOL),--protocol="$$PROTOCOL") $(ARGS)

reference-pack: $(READY) ## keep a study under results/reference: make reference-pack FROM=results NAME=name (PROTOCOL=id)
	@test -n "$$NAME" || { echo "error: say what to call it: make reference-pack FROM=results NAME=name" >&2; exit 2; }
	@$(PY) -m analysis.reference pack $(if $(PROTOCOL),--protocol="$$PROTOCOL") $(ARGS) -- \
		"$${FROM:-$$RESULTS}" "results/reference/$$NAME"

reference-check: $(READY) ## compare tables, verdicts, figures and report under results/reference with their data, to the letter
	@$(PY) -m analysis.reference check $(ARGS)

reference-draw: $(READY) ## draw them anew from their data, after a change of analysis/ that was meant
	@$(PY) -m analysis.reference draw $(ARGS)

smoke: $(TRAIN) ## everything on tiny settings, in under a minute, in results/smoke
	@$(HYDRA) ablations -m ablation=groups,shuffle preset=smoke 'runtime.results_dir=$$RESULTS/smoke' $(ARGS)

test: $(READY_DEV) ## run all tests, on all cores
	@$(PY) -m pytest -n auto --dist loadfile $(ARGS)

coverage: $(READY_DEV) ## the same with the share of lines that tests reach
	@$(PY) -m pytest -n auto --dist loadfile --cov --cov-report=term $(ARGS)

test-slurm: $(READY_DEV) ## a study on a real Slurm, brought up on this machine (as root; skipped where Slurm is not installed)
	@$(PY) -m pytest tests/slurm -m slurm -rs $(ARGS)

lint: $(READY_DEV) ## ruff, mypy, and which package may import which
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-cache --no-logo

bench: bench-peers ## this harness beside the usual way, side by side

bench-peers: $(READY_DEV) ## the same work by the reference loop, pytorchcv and ours (DATA_DIR: CIFAR-10)
	@$(PY) -m benchmarks.peers --data="$${DATA_DIR:-data}" $(ARGS)

bench-start: $(READY) ## how long a sweep with nothing to do takes, and what finished runs add
	@$(PY) -m benchmarks.start $(ARGS)

bench-verdicts: $(READY) ## how often verdicts are wrong, and how often right, in simulated studies
	@$(PY) -m benchmarks.verdicts $(ARGS)

bench-torture: $(READY) ## kill, fill, cut and double a sweep a hundred times, and compare every run bit for bit
	@$(PY) -m benchmarks.torture $(ARGS)

bench-gpu: $(READY) ## what only a GPU can show, in eight minutes: kernels, steps, graphs, faults
	@$(PY) benchmarks/gpu_check.py $(ARGS)

bench-inputs: $(READY) ## images/s of the cache's build and of training input, against torchvision
	@$(PY) -m benchmarks.inputs $(ARGS)

bench-leases: $(READY) ## 200 processes take 10,000 planned runs from one folder: rate, duplicates, starved processes
	@$(PY) -m benchmarks.leases $(ARGS)

clean: ## delete the environment, caches, tables, figures and report; never results/runs
	rm -rf $(VENV) cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* *.egg-info build
	@test ! -d "$$RESULTS" || { cd -- "$$RESULTS" && rm -rf tables figures notebooks smoke report.html runs.csv; }
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
