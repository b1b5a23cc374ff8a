# make run    builds and starts Signalbox on examples/quickstart
# make test   runs the tests
# make check  is what CI runs beside the tests

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X signalbox/internal/cli.Version=$(VERSION)
FUZZTIME ?= 8s
CRASHES ?= 50

export CGO_ENABLED ?= 0

.PHONY: build run test test-deps check lint race fuzz crash faults bench bench-engine bench-correlate bench-recovery clean

build:
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/signalbox ./cmd/signalbox

run: build
	./bin/signalbox serve --config examples/quickstart/signalbox.yaml --data signalbox-data

test: test-deps build
	$(GO) test ./...

# Installs the real senders and brokers that the tests talk to, where this is
# Debian and the user is root; elsewhere tests that miss one say so. In CI they
# must be there.
test-deps:
	@scripts/install-test-deps.sh || { test -z "$$CI" && echo 'going on without them: tests that miss one say that they were left out'; }

check: lint race fuzz crash faults

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not gofmt-clean:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) tool -modfile=tools/go.mod staticcheck ./...
	@cp go.mod go.mod.before && cp go.sum go.sum.before && $(GO) mod tidy; \
	  if cmp -s go.mod go.mod.before && cmp -s go.sum go.sum.before; then rm go.mod.before go.sum.before; \
	  else mv go.mod.before go.mod; mv go.sum.before go.sum; echo 'go mod tidy changes go.mod or go.sum'; exit 1; fi

race:
	CGO_ENABLED=1 $(GO) test -race -short ./...

# Every fuzz target for FUZZTIME.
fuzz:
	@scripts/fuzz.sh $(FUZZTIME)

# Kills the real binary CRASHES times under load from all senders and checks
# its books after each.
crash: build
	$(GO) test ./test/crash -count=1 -v -run TestCrash -crashes=$(CRASHES) -timeout 30m

# Full disks, failing fsyncs, flipped bits, missing files.
faults: build
	$(GO) test ./test/faults -count=1 -v -timeout 20m

bench: build
	scripts/bench.sh

# The engine by itself, and a backtest, on one core: events/s, bytes a key.
bench-engine:
	GOMAXPROCS=1 $(GO) test ./internal/decide ./internal/backtest -run '^$$' -bench 'Engine|Correlate|Backtest|Decode' -benchtime 3s

# The same events and rules for Signalbox, a Python correlator and
# ansible-rulebook: what each finds, and how fast. Writes bin/correlate.md.
bench-correlate:
	scripts/install-bench-deps.sh
	@mkdir -p bin
	$(GO) run ./bench/correlate -rulebook bin/rulebook/bin/ansible-rulebook -out bin/correlate.md

# How long a start after a crash takes with 10,000,000 events in the log.
bench-recovery: build
	$(GO) run ./bench/correlate recovery -bin bin/signalbox

clean:
	rm -rf bin
