# The daily commands. `make help` lists them.
.DEFAULT_GOAL := build
SHELL := /bin/bash
PYTHON := /usr/bin/python3

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t16

deps: ## install what is missing (Debian, Ubuntu), or name it
	@tests/deps

build: deps ## build/bin/luma and build/bin/lumad (release)
	@tests/configure release
	@cmake --build --preset release --target luma lumad

debug asan tsan: deps
	@tests/configure $@
	@cmake --build --preset $@

test: deps ## every test: unit, Lua, media, protocol; sanitizers on
	@tests/run

demo: build ## a server, a client and a real job; INPUT=file to use your own
	@$(PYTHON) examples/demo.py $(INPUT)

run: build ## start the server in the foreground
	@build/bin/lumad

bench: build ## ratios against the ffmpeg program and against a server that spawns it
	@$(PYTHON) tests/bench/bench.py

coverage: deps ## lines and branches by folder
	@tests/coverage

format: deps ## clang-format, in place
	@git ls-files '*.c' '*.h' | xargs clang-format -i

lint: deps ## clang-format, clang-tidy, luacheck, docs up to date
	@tests/lint

clean:
	@rm -rf build demo-results

.PHONY: help deps build debug asan tsan test demo run bench coverage format lint clean
