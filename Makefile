# SPDX-License-Identifier: Apache-2.0
# The project's commands. On a fresh machine `make demo` and `make test` do all set-up.

SWIFT ?= swift
EFT := .build/release/eft
SOURCES := Package.swift Sources Tests Benchmarks Examples/library Fuzz

# Where `make install` puts the program; DESTDIR stands for / while a package is made.
PREFIX ?= /usr/local
DESTDIR ?=
# A program with Swift's libraries inside is built beside .build, which it would otherwise make stale.
STATIC := build/static/release/eft

.PHONY: all setup build static install uninstall deb demo test test-arm64 docs example bench bench-serve \
    bench-70b fuzz format lint model model-12m fixtures clean

all: build

setup: ## Installs missing Debian packages, checks the toolchain.
	@scripts/setup

build: setup ## The program, optimized: .build/release/eft
	$(SWIFT) build -c release --product eft

static: setup ## The program with Swift's libraries inside: build/static/release/eft
	$(SWIFT) build -c release --product eft --static-swift-stdlib --disable-local-rpath --scratch-path build/static

install: ## Program, completions and manual pages below PREFIX; needs no Swift toolchain afterwards.
	@if command -v $(SWIFT) >/dev/null; then $(MAKE) --no-print-directory static; fi
	@test -x $(STATIC) || { echo "install: run 'make static' first, as a user who has Swift on the PATH" >&2; exit 1; }
	@scripts/package/install $(STATIC) "$(PREFIX)" "$(DESTDIR)"

uninstall: ## Removes what `make install` has installed.
	@scripts/package/uninstall "$(PREFIX)" "$(DESTDIR)"

deb: static ## A Debian package: build/eft_VERSION_ARCHITECTURE.deb
	@scripts/package/deb $(STATIC)

demo: build ## From a base model to a fine-tuned, merged, quantized one, in a small budget.
	@scripts/demo/run $(EFT)

test: ## All tests, with a summary; all output is in .build/test.log.
	@scripts/setup browser
	@SWIFT=$(SWIFT) scripts/test

test-arm64: ## The kernels for 64-bit Arm processors against the scalar ones, under emulation on other machines.
	@scripts/setup arm64
	@scripts/check-arm64.sh

docs: setup ## The documentation of the Swift library, as a web site: build/docs
	@SWIFT=$(SWIFT) scripts/docs build/docs

example: setup ## The example package that uses Eft as a library, built on its own.
	$(SWIFT) build --package-path Examples/library --scratch-path build/example

bench: build ## Speeds as ratios to limits measured in the same run.
	$(EFT) bench

bench-serve: build ## 32 requests at once on TinyLlama's shape: engine, server, and llama.cpp where it is named.
	@scripts/bench/serve $(EFT)

bench-70b: build ## 70 billion weights in 24 GB: Benchmarks/results/70b.md. An hour, 65 GB of disk.
	@scripts/bench/70b $(EFT)

fuzz: setup ## libFuzzer on everything that reads bytes of others, FUZZ_SECONDS (600) each: see Fuzz/README.md
	@SWIFT=$(SWIFT) scripts/fuzz

format: ## Formats all Swift sources.
	$(SWIFT) format format -i -p -r $(SOURCES)

lint: ## Checks the format of all Swift sources.
	$(SWIFT) format lint --strict -p -r $(SOURCES)

model: build ## Trains the demo's small model again, from generated text (needs Python 3.9 to generate it).
	python3 scripts/demo/make_corpus.py build/demo/corpus
	$(EFT) train Examples/demo/pretrain.yml
	cp build/demo/model/model.safetensors Examples/demo/model/

model-12m: build ## Trains a model of 12 million weights from generated text, to compare quantizers with: build/model-12m/model
	python3 scripts/demo/make_corpus.py build/demo/corpus
	mkdir -p build/model-12m/start
	cp Examples/demo/model/*.json build/model-12m/start/
	cp scripts/bench/model-12m/config.json build/model-12m/start/
	$(EFT) train scripts/bench/model-12m/pretrain.yml

fixtures: ## Makes the tests' reference numbers again (see scripts/fixtures/README.md).
	python3 scripts/fixtures/make.py

clean:
	rm -rf .build build
