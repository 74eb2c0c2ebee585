# SPDX-License-Identifier: GPL-3.0-or-later
# Each target is one script of tools/, which sets up what it needs.
.DEFAULT_GOAL := help
.PHONY: help demo test test-full lab-up lab-down lint unit sanity bench clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

demo: ## packages, tools, lab, cluster, and the model's answer through the router
	@tools/demo.sh

test: ## all tests, quick ones first
	@tools/test.sh

test-full: ## all tests and the long matrices
	@tools/test.sh --full

lab-up: ## start the lab's hosts
	@tools/lab.sh up

lab-down: ## remove the lab, all but its cache
	@tools/lab.sh down

lint: ## all linters
	@tools/lint.sh

unit: ## unit tests
	@tools/unit.sh

sanity: ## ansible-test sanity
	@tools/ansible_test.sh sanity

bench: ## cost of a no-change run on the running lab
	@tools/bench.sh

clean: ## remove the local environments and what the tests wrote
	rm -rf .venv .venv-test .venv-dev .venv-uv .tree .ansible build tests/output .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
