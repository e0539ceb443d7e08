# The two commands: `make walkthrough` and `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
LAB := $(or $(ONEFLOWER_LAB),oneflower)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=ONEFLOWER_LAB,ONEFLOWER_LAB_CACHE,PIP_INDEX_URL,PIP_EXTRA_INDEX_URL,PIP_FIND_LINKS)
LABCMD = $(SUDO) .venv/bin/python -m lab
# Plays run inside the lab's management network, which reaches the zones' APIs and the gateways and nothing else.
INLAB = $(SUDO) nsenter --net=/run/netns/$(LAB)-mgmt env PATH=$(CURDIR)/.venv/bin:$$PATH
PLAY = $(INLAB) .venv/bin/ansible-playbook -i inventories/lab
PLAYBOOK_ARGS ?=
# pip would compile the thousands of modules of collections that are never used here.
BYTECODE = .venv/bin/python -m compileall -q -j 0 -x 'ansible_collections|/tests?/' .venv/lib

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

.venv/.run: requirements/run.txt
	@echo "==> Python environment (.venv)"
	@$(PYTHON) -m venv .venv 2>/dev/null || { $(SUDO) apt-get -qq update && $(SUDO) apt-get -qq install -y python3-venv && $(PYTHON) -m venv .venv; }
	@.venv/bin/pip install -q --no-compile -r requirements/run.txt
	@$(BYTECODE)
	@touch $@

.venv/.test: .venv/.run requirements/test.txt
	@echo "==> Test tools"
	@.venv/bin/pip install -q --no-compile -r requirements/test.txt
	@$(BYTECODE)
	@touch $@

.PHONY: collection
collection: ## Make the checkout importable as oneflower.federation
	@mkdir -p .build/collections/ansible_collections/oneflower
	@ln -sfn ../../../.. .build/collections/ansible_collections/oneflower/federation

.PHONY: setup
setup: .venv/.run collection ## Python environment, Debian packages of the lab, lab images
	@$(LABCMD) deps
	@$(LABCMD) image

.PHONY: lab-up
lab-up: setup ## Start the lab: three zones, three gateways and the networks between them
	@$(LABCMD) up

.PHONY: lab-down
lab-down: .venv/.run ## Stop the lab and leave nothing of it behind (the image cache stays)
	@$(LABCMD) down

.PHONY: walkthrough
walkthrough: lab-up ## Build the three-zone federation on this machine, train across it and prove it
	@$(PLAY) playbooks/walkthrough.yml $(PLAYBOOK_ARGS)

.PHONY: unit
unit: .venv/.test collection ## Unit tests
	@.venv/bin/python -m pytest -q tests/unit

.PHONY: lint
lint: .venv/.test collection ## Linters of Python, YAML, plays, types, documentation and changelog
	@.venv/bin/python tests/run.py lint

.PHONY: sanity
sanity: .venv/.test collection ## ansible-test sanity of what ships; also on the newest ansible-core where there is a Python for it
	@.venv/bin/python tests/run.py sanity

.PHONY: bench-api
bench-api: .venv/.test collection ## What a task on the OpenNebula APIs costs the controller, beside other modules
	@.venv/bin/python -m benchmarks.api_tasks

.PHONY: bench-walkthrough
bench-walkthrough: setup ## What the walkthrough takes on the lab, beside its critical path
	@$(SUDO) .venv/bin/python benchmarks/walkthrough

BASE ?= b8a0572
ROUNDS ?= 3
.PHONY: bench-beside
bench-beside: setup ## What this checkout takes beside another revision: BASE=REVISION ROUNDS=NUMBER
	@$(SUDO) .venv/bin/python -m benchmarks.beside --base $(BASE) --rounds $(ROUNDS)

.PHONY: bench-follow
bench-follow: setup ## What following the inventory takes, on the lab and in fleets of up to 100 zones: BASE=REVISION ROUNDS=NUMBER
	@$(SUDO) .venv/bin/python -m benchmarks.follow --base $(BASE) --rounds $(ROUNDS)

.PHONY: test
test: .venv/.test setup ## All tests
	@.venv/bin/python tests/run.py
