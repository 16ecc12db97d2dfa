# What a person, and CI, asks of this repository. Each target installs what it is missing first (see scripts/setup).
# Demo and tests use the same release build, in .build/release.

.PHONY: help build demo test fuzz sanitize check count bench bench-dns bench-failover clean

help:
	@echo 'make build   the leba binary: .build/release/leba'
	@echo 'make demo    a PostgreSQL failover on this machine, watched; two minutes after the build'
	@echo 'make test    unit tests, simulation, and end to end with real DNS, PostgreSQL and nginx'
	@echo 'make fuzz    a minute of mutated packets for the DNS parser, under libFuzzer (scripts/fuzz takes the seconds)'
	@echo 'make bench   CPU per request and per GB, latency and memory beside HAProxy, nginx and Envoy; ten minutes, a quiet machine'
	@echo 'make sanitize  data plane and engine under AddressSanitizer and ThreadSanitizer; some minutes'
	@echo 'make bench-dns  discovery with 10 000 names: memory, CPU, spread, time to the data path; ten minutes'
	@echo 'make bench-failover  a killed and a frozen primary, beside HAProxy; decisions and probes at size; two minutes'
	@echo 'make count   allocations, reference counts and instructions of a relayed request; memory of the idle binary; bars kept'
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

fuzz:
	@scripts/setup build
	@scripts/fuzz

sanitize:
	@scripts/setup build
	@scripts/sanitize address
	@scripts/sanitize thread

check:
	@scripts/setup build
	@scripts/check

bench:
	@scripts/setup test
	swift build -c release --product leba
	bench/proxy
count:
	@scripts/setup test
	swift build -c release --product leba
	scripts/count-hot-path
	scripts/count-memory

bench-dns:
	@scripts/setup test
	swift build -c release --product leba
	bench/dns

bench-failover:
	@scripts/setup test
	swift build -c release --product leba
	bench/failover

clean:
	rm -rf .build
