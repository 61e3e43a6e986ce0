# The two commands: `make run` shows the server at work, `make test` proves it.
# Everything that they need beside Go is fetched into .cache/, nothing is installed.

SHELL       := /bin/bash
export CGO_ENABLED ?= 0
GO          ?= go
# The version comes from the commit, where there is a repository to ask.
BUILDVCS    := $(shell git rev-parse -q --verify HEAD >/dev/null 2>&1 && echo auto || echo false)
BUILD_FLAGS := -trimpath -buildvcs=$(BUILDVCS) -ldflags "-s -w"

.PHONY: help build run test unit race blackbox check fmt generate soak worlds guards day bench tools clean

help: ## the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

build: ## build bin/sluice, a static binary
	$(GO) build $(BUILD_FLAGS) -o bin/sluice ./cmd/sluice

run: build ## start in the sandbox, send sample mail, show what arrived (RUN_ONCE=1: then stop)
	@scripts/run.sh

.NOTPARALLEL:
test: tools check unit race blackbox ## everything that must pass

unit: ## tests of the rooms
	@scripts/gotest.sh unit ./cmd/... ./internal/...

race: ## the same under the race detector, without the long simulated worlds
	@scripts/gotest.sh race ./cmd/... ./internal/...

blackbox: tools build ## the built binary against real clients and receivers, a sample
	@scripts/gotest.sh blackbox ./tests/...

soak: tools build worlds ## the black-box tests, and those of the limits, with full counts; ten thousand simulated worlds
	@scripts/gotest.sh soak ./internal/limit ./tests/...

worlds: ## ten thousand random worlds in the simulator (WORLDS=N: so many), and whether explain tells the truth in a thousand samples
	SLUICE_SOAK=1 SLUICE_TRUTHS=1000 SLUICE_WORLDS=$(or $(WORLDS),10000) $(GO) test ./internal/sim -run 'TestRandomWorlds|TestSameCourse|TestExplainTellsTheTruth' -count=1 -v -timeout 4h
	SLUICE_RECIPIENTS=1000000 $(GO) test ./internal/sim -run TestEverythingEnds -count=1 -v -timeout 1h

guards: ## take the guards away one by one: the tests must go red; writes docs/guards.md
	$(GO) run ./scripts/guards

day: ## simulate the day of a busy server: 5 million messages, 50 bindings, 20,000 domains
	SLUICE_DAY=5000000 $(GO) test ./internal/sim/forecast -run '^$$' -bench BenchmarkDay -benchtime 1x -timeout 1h

check: tools ## format, vet, staticcheck, import arrows, generated files
	@scripts/check.sh

fmt: tools ## format the Go files
	.cache/bin/gofumpt -w cmd internal tests bench scripts

generate: ## write the parts of the manual that the program knows
	@scripts/generate.sh

bench: tools build ## measure beside Postfix, in network and mount namespaces of its own (root)
	@bench/run.sh $(BENCH)

tools: ## fetch the pinned tools and the Debian clients that tests use
	@scripts/tools.sh

clean: ## remove what was built (.cache/ stays)
	rm -rf bin run .cache/logs
