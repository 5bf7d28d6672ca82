# What people type. Each recipe does all the set-up that it needs.
#
#   make demo    builds the command and runs it on a phantom with known answers
#   make check   formatting, lints, documentation, tests: what CI runs
#   make test    all tests
#   make bench   every stage's speed, and the ratio to the scipy scripts
#   make golden  rewrites the golden files (read the difference before you commit it)
#   make reference  rewrites the values of other implementations that tests compare with

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo build check fmt clippy doc test bench golden reference

VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PRIMORDIA_PYTHON ?= $(CURDIR)/$(VENV)/bin/python
export PRIMORDIA_DATA ?= $(abspath ../shared/data/real)

help:
	@sed -n 's/^#   //p' Makefile

# HDF5 is built from its C sources, which needs cmake.
$(VENV)/.cmake:
	@tests/setup/cmake.sh $(VENV)

# Peers and readers that the tests compare with.
$(VENV)/.python: tests/reference/requirements.txt | $(VENV)/.cmake
	@tests/setup/python.sh $(VENV)

setup: $(VENV)/.cmake $(VENV)/.python

build: $(VENV)/.cmake
	cargo build --release --package primordia

demo: build
	cargo run --quiet --release --package primordia -- demo --output demo

check: fmt clippy doc test

fmt:
	cargo fmt --all --check

clippy: $(VENV)/.cmake
	cargo clippy --workspace --all-targets -- -D warnings

doc: $(VENV)/.cmake
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# nextest where it is installed: it runs the tests of all crates side by side.
test: setup
	if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --workspace --no-fail-fast; \
	else \
	  cargo test --workspace --all-targets --no-fail-fast; \
	fi
	cargo test --workspace --doc

bench: setup build
	cargo bench --workspace

golden: setup
	PRIMORDIA_GOLDEN=write cargo test --workspace golden

reference: setup
	$(PRIMORDIA_PYTHON) tests/reference/features.py $(PRIMORDIA_DATA)
	$(PRIMORDIA_PYTHON) tests/reference/features_cbe.py
	$(PRIMORDIA_PYTHON) tests/reference/features_explode.py $(PRIMORDIA_DATA)
	$(PRIMORDIA_PYTHON) tests/reference/features_texture.py
	$(PRIMORDIA_PYTHON) tests/reference/idr0079_ridge.py
