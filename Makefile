# Plain "make" prints the targets. All of them need Go; check and test also
# need a C compiler for the race detector.

# The folder that tools and tests may leave things in; git ignores it.
BIN := bin

# How long "make fuzz" stays on each target.
FUZZTIME ?= 30s

# The tests' own limit per package; a hung test says where it hung.
TEST_TIMEOUT ?= 15m

# Two packages at a time: the tests start servers and processes of their own.
GO_TEST := go test -race -p 2 -timeout $(TEST_TIMEOUT)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Print this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build and start the gateway with the echo model to talk to
	$(BIN)/gibbon run --echo-model --prefix .gibbon

# Without cgo the program is one static file and needs no C compiler.
.PHONY: build
build: ## Build bin/gibbon
	CGO_ENABLED=0 go build -o $(BIN)/gibbon ./cmd/gibbon

.PHONY: check
check: lint unit ## Before each commit: style, generated code, unit tests; works offline

.PHONY: lint
lint: ## The part of check that runs no test
	scripts/lint

# What is under test/ starts real programs and is left to "make test"; so are
# the tests that need PostgreSQL, which skip without it.
.PHONY: unit
unit: ## The part of check that runs the unit tests
	packages=$$(go list ./...) && $(GO_TEST) $$(echo "$$packages" | grep -Ev '/gibbon/test(/|$$)')

# The packages run once, with the services there, instead of once in check and
# again here.
.PHONY: test
test: lint build services clients ## Everything: check, real PostgreSQL and Redis, faults, whole processes
	GIBBON_REQUIRE_SERVICES=1 $(BIN)/services -postgres -redis -- $(GO_TEST) ./...

# A program of its own, not "go run", so that a signal to make reaches it.
.PHONY: services
services:
	go build -o $(BIN)/services ./test/services

.PHONY: clients
clients: services ## Fetch the Python and Node clients that test/clients runs; "make test" does
	$(BIN)/services -programs python3,node,npm -- scripts/clients

.PHONY: generate
generate: ## Write gen/ from proto/ with the pinned buf and plugins
	scripts/protos generate

.PHONY: bench
bench: build services ## Measure against raw nginx with wrk; prints a table
	$(BIN)/services -programs nginx,wrk,initdb -- go run ./test/bench

# How long "make soak" goes on, and how many calls it makes a second.
SOAKTIME ?= 10m
SOAKRATE ?= 300

.PHONY: soak
soak: ## Ten minutes of mixed AI traffic with faults; prints what was held and lost
	GIBBON_TEST_RACE=0 go test ./test/soak -count=1 -v -timeout 0 -duration $(SOAKTIME) -rate $(SOAKRATE)

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (30s), one at a time
	scripts/fuzz $(FUZZTIME)

.PHONY: clean
clean: ## Remove what was built and fetched into this folder
	rm -rf $(BIN) third_party .cache/clients
