# The two commands: `make run` shows the server at work, `make test` proves it.
# Everything that they need beside Go is fetched into .cache/, nothing is installed.

SHELL       := /bin/bash
export CGO_ENABLED ?= 0
GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unreleased)
BUILD_FLAGS := -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

.PHONY: help build test unit race blackbox check fmt soak tools clean

help: ## the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

build: ## build bin/sluice, a static binary
	$(GO) build $(BUILD_FLAGS) -o bin/sluice ./cmd/sluice

.NOTPARALLEL:
test: tools check unit race blackbox ## everything that must pass

unit: ## tests of the rooms
	@scripts/gotest.sh unit ./cmd/... ./internal/...

race: ## the same under the race detector, without the long simulated worlds
	@scripts/gotest.sh race ./cmd/... ./internal/...

blackbox: tools build ## the built binary against real clients and receivers, a sample
	@scripts/gotest.sh blackbox ./tests/...

soak: tools build ## the black-box tests with full counts
	@scripts/gotest.sh soak ./tests/...

check: tools ## format, vet, staticcheck, import arrows
	@scripts/check.sh

fmt: tools ## format the Go files
	.cache/bin/gofumpt -w cmd internal tests

tools: ## fetch the pinned tools and the Debian clients that tests use
	@scripts/tools.sh

clean: ## remove what was built (.cache/ stays)
	rm -rf bin run .cache/logs
