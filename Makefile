# What a person, and CI, asks of this repository. Each target installs what it is missing first (see scripts/setup).
# Demo and tests use the same release build, in .build/release.

.PHONY: help build demo test check clean

help:
	@echo 'make build   the leba binary: .build/release/leba'
	@echo 'make demo    a PostgreSQL failover on this machine, watched; two minutes after the build'
	@echo 'make test    unit tests, simulation, and end to end with real DNS, PostgreSQL and nginx'
	@echo 'make check   formatting and script checks; what CI runs first'

build:
	@scripts/setup build
	swift build -c release --product leba

demo:
	@scripts/setup demo
	@scripts/demo

test:
	@scripts/setup test
	@scripts/test

check:
	@scripts/setup build
	@scripts/check

clean:
	rm -rf .build
