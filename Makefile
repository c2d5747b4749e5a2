# Every task of the project. `make demo` and `make test` do all set-up by themselves.

ARCH := $(shell uname -m | sed 's/x86_64/x64/')
BUN := node_modules/@oven/bun-linux-$(ARCH)/bin/bun
PREFIX ?= /usr
DESTDIR ?=
SOURCES := $(shell find src -name '*.ts' -not -name '*.test.ts')
STAGE1_SOURCES := $(shell find stage1 -type f -not -name '*.test.ts')

.PHONY: help setup build stage1 man deb demo test test-unit test-integration test-deb test-docs test-kvm test-selinux bench bench-kvm soak check install uninstall clean format

help:
	@echo "make demo      set up, build, and run a verified image as a pod, step by step"
	@echo "make build     build/rkt and the stage1 images beside it"
	@echo "make test      set up, build, and run every test (root)"
	@echo "make bench     rkt beside runc, crun, podman, umoci, tar: bench/RESULTS.md (BENCH_RUNS=15)"
	@echo "make bench-kvm a pod in a virtual machine beside others that nobody trimmed: docs/evidence/kvm.md"
	@echo "make soak      loops, kills, crowds and fuzzing, about half an hour: docs/evidence/soak.md"
	@echo "make check     types, format, lint, and the repository's own rules"
	@echo "make deb       build/rkt_VERSION_ARCH.deb, for Debian 12 and 13"
	@echo "make test-deb  the package in fresh Debians 12 and 13, lintian, completions in real shells: docs/evidence/packages.md"
	@echo "make test-docs the shell blocks of the documents that are marked as runnable"
	@echo "make test-kvm  the suite of all flavors in virtual machines; under emulation about half an hour"
	@echo "make test-selinux  pods on a host with SELinux enforcing, in a virtual machine: docs/evidence/selinux.md"
	@echo "make install   for this machine, or into DESTDIR for a package; PREFIX=/usr"
	@echo "make uninstall takes the files away; images, pods, configuration and users stay"

setup:
	@tools/setup.sh build

build: setup
	@$(MAKE) --no-print-directory build/rkt

stage1: setup
	@$(MAKE) --no-print-directory build/stage1-images.json

# A program without libraries: src/host/confine.c says what for. The same source and compiler give the same bytes.
build/confine.elf: src/host/confine.c Makefile
	@mkdir -p build
	@gcc -std=gnu11 -static -nostdlib -ffreestanding -fno-stack-protector -fno-pie -no-pie -Os -s -Wall -Wextra -Werror \
	  -Wl,--build-id=none -Wl,-z,noexecstack -o $@ $<

build/stage1-images.json: build/confine.elf $(STAGE1_SOURCES) $(SOURCES) tools/build-stage1.ts package.json
	@mkdir -p build
	@$(BUN) --no-env-file tools/build-stage1.ts
	@touch $@

build/rkt: build/confine.elf $(SOURCES) $(STAGE1_SOURCES) build/stage1-images.json tools/build.ts package.json
	@mkdir -p build
	@$(BUN) --no-env-file tools/build.ts

demo:
	@tools/setup.sh build demo
	@$(MAKE) --no-print-directory build/rkt
	@tools/demo.sh

test:
	@tools/setup.sh build test
	@$(MAKE) --no-print-directory build/rkt
	@tools/run-tests.sh unit integration

test-unit:
	@tools/setup.sh build test
	@$(MAKE) --no-print-directory build/confine.elf
	@tools/run-tests.sh unit

test-integration:
	@tools/setup.sh build test
	@$(MAKE) --no-print-directory build/rkt
	@tools/run-tests.sh integration

bench:
	@tools/setup.sh build bench
	@$(MAKE) --no-print-directory build/rkt
	@tools/apart.sh $(BUN) --no-env-file bench/main.ts

bench-kvm:
	@tools/setup.sh build bench
	@$(MAKE) --no-print-directory build/rkt
	@tools/apart.sh $(BUN) --no-env-file bench/kvm.ts

soak:
	@tools/setup.sh build test
	@$(MAKE) --no-print-directory build/rkt
	@tools/apart.sh $(BUN) --no-env-file tests/soak/main.ts

check: setup
	@tools/check.sh

format: setup
	@node_modules/@biomejs/cli-linux-$(ARCH:aarch64=arm64)/biome check --write .

man: setup
	@$(BUN) --no-env-file tools/build-man.ts

deb: build man
	@tools/build-deb.sh

test-deb:
	@tools/setup.sh build test deb
	@$(MAKE) --no-print-directory deb
	@tools/run-tests.sh packages

test-docs:
	@tools/setup.sh build test
	@$(MAKE) --no-print-directory build/rkt
	@tools/apart.sh tools/run-tests.sh docs

test-kvm:
	@tools/setup.sh build test
	@$(MAKE) --no-print-directory build/rkt
	@tools/apart.sh tools/run-tests.sh kvm

test-selinux:
	@tools/setup.sh build test selinux
	@$(MAKE) --no-print-directory build/rkt
	@tools/apart.sh tools/run-tests.sh selinux

install: build man
	@tools/install.sh install "$(DESTDIR)" "$(PREFIX)"

uninstall:
	@tools/install.sh uninstall "$(DESTDIR)" "$(PREFIX)"

clean:
	rm -rf build
