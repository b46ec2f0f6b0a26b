# Each target is one line of make.py, so that machines without make have the same commands:
# `make lab` here is `python -m make lab` there. Options: make lab ARGS=--no-browser
PYTHON ?= $(shell command -v python3 || command -v python)

.PHONY: help setup lab test lint notebooks budgets site newest oldest clean
.DEFAULT_GOAL := help

help:
	@$(PYTHON) make.py --help

setup lab test lint notebooks budgets site newest oldest clean:
	@$(PYTHON) make.py $@ $(ARGS)
