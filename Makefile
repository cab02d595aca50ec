# A thin hand-hold over CMake: `make help` lists what there is.
# BUILD is the folder of the ordinary build; the others stand beside it.
BUILD ?= build
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
CMAKE ?= cmake
CMAKE_FLAGS ?=
DESTDIR ?=
PREFIX ?= /usr/local

.PHONY: help build run test test-long bench check format docs install package fuzz coverage clean

help:
	@echo "make build      the library and the command, in $(BUILD)/"
	@echo "make run        build, and chat with the default model"
	@echo "make test       every test, then the quick ones under sanitizers"
	@echo "make test-long  the same with the long forms of the tests"
	@echo "make bench      the speed of this machine and of the default model"
	@echo "make check      format, layers, globals, one-file build, lint, Clang build"
	@echo "make format     format every source file"
	@echo "make docs       the pages of methods, docs/methods/, from the methods' rows"
	@echo "make install    to PREFIX ($(PREFIX)), below DESTDIR"
	@echo "make package    a .deb and a tarball, in $(BUILD)-package/"
	@echo "make fuzz       the fuzz targets, FUZZ_SECONDS each (default 60)"
	@echo "make coverage   lines that the tests reach, and those of parsers that the corpora reach"
	@echo "make clean      remove the build folders"

$(BUILD)/CMakeCache.txt:
	@$(CMAKE) -S . -B $(BUILD) $(CMAKE_FLAGS) >$(BUILD).configure.log 2>&1 || { cat $(BUILD).configure.log; rm -f $(BUILD).configure.log; exit 1; }
	@mv $(BUILD).configure.log $(BUILD)/configure.log

build: $(BUILD)/CMakeCache.txt
	@$(CMAKE) --build $(BUILD) -j $(JOBS) >$(BUILD)/build.log 2>&1 || { cat $(BUILD)/build.log; exit 1; }

run: build
	@$(BUILD)/jeton

test: build
	@tools/run-tests $(BUILD)

test-long: build
	@JETON_TEST_LONG=1 tools/run-tests $(BUILD)

bench: build
	@$(BUILD)/jeton bench smollm2

check: build
	@tools/check $(BUILD)

format:
	@tools/sources | xargs clang-format -i

docs: build
	@tools/method-pages $(BUILD) docs/methods

install: build
	@DESTDIR="$(DESTDIR)" $(CMAKE) --install $(BUILD) --prefix "$(PREFIX)"

package:
	@tools/package $(BUILD)-package

fuzz:
	@tools/fuzz $(BUILD)-fuzz

coverage:
	@tools/coverage $(BUILD)-coverage
	@tools/coverage $(BUILD)-coverage fuzz

clean:
	rm -rf $(BUILD) $(BUILD)-*
