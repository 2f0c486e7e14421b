# Needs Go and make; the race detector also needs a C compiler, and e2e says what it needs itself.

ARGS     ?=
PKG      ?= ./...
BENCH    ?= .
COUNT    ?= 1
FUZZTIME ?= 20s

export GOWORK = off

# Every module of the repository: the root, the tools, and whatever else is nested.
MODULES := $(sort $(dir $(shell find . \( -name '.?*' -o -name node_modules -o -name testdata \) -prune -o -name go.mod -print)))
PROSE    = find . \( -name '.?*' -o -name node_modules -o -name testdata -o -name bin -o -name LICENSE \) -prune -o -type f \
           \( -name '*.go' -o -name '*.md' -o -name '*.sh' -o -name '*.js' -o -name '*.py' -o -name '*.ts' -o -name Makefile \) -print
GOFILES  = find . \( -name '.?*' -o -name node_modules -o -name testdata -o -name bin \) -prune -o -name '*.go' -print

# Tools are built once for each Go version, because an analyser cannot read a language newer than itself.
TOOLS := bin/tools/$(shell go env GOVERSION)
TOOL   = $(CURDIR)/$(TOOLS)

# $(call step,NAME,COMMAND) prints one line, and what COMMAND printed only where it failed.
step = @if out=$$( { $(2); } 2>&1 ); then echo "ok    $(1)"; else echo "FAIL  $(1)"; printf '%s\n' "$$out" | sed 's/^/      /'; exit 1; fi
# $(call each,COMMAND) runs COMMAND in every module, to the end; $(call tests,COMMAND) only in the root where PKG names packages.
each = rc=0; for m in $(MODULES); do (cd $$m && $(1)) || rc=1; done; test $$rc = 0
tests = $(if $(filter-out ./...,$(PKG)),$(1),$(each))

# All packages from the end of the alphabet on, so that those that take longest (engine) don't begin last.
packages = $(if $(filter-out ./...,$(PKG)),$(PKG),$$(go list ./... | sort -r))

CHECKS = gofumpt vet staticcheck ineffassign misspell exhaustive arrows tidy

.PHONY: help run test race check fuzz bench bench-client bench-fanout bench-peers bench-quick contest e2e fmt tools $(CHECKS)
.DEFAULT_GOAL = help

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1	/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

run: ## build the server and start it: make run ARGS="..."
	@go build -o bin/headrace-server ./cmd/server
	@exec bin/headrace-server $(ARGS)

test: ## every test, then every test again under the race detector
	@echo "tests"
	@$(call tests,go test $(packages))
	@if why=$$(tools/can-race 2>&1); then $(MAKE) --no-print-directory race; else echo "RACE PASS SKIPPED: $$why"; fi

race: ## every test under the race detector
	@echo "tests under the race detector"
	@why=$$(tools/can-race 2>&1) || { echo "cannot run: $$why"; exit 1; }
	@$(call tests,go test -race $(packages))

check: tools ## formatting, vet, linters, import arrows, tidy go.mod: all must be clean
	@$(MAKE) --no-print-directory --keep-going $(CHECKS)

fuzz: ## every fuzz target, FUZZTIME (20s) each, in PKG (./...)
	@tools/fuzz $(FUZZTIME) $(PKG)

bench: ## benchmarks: BENCH (.) in PKG (./...), COUNT (1) times
	@go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) $(PKG)

bench-client: ## CPU of wsbench for a message, beside a bare client in C: make bench-client ARGS="-help"
	@go build -C bench/peers -o $(CURDIR)/bin/bench-client ./client
	@exec bin/bench-client $(ARGS)

bench-fanout: ## CPU and latency of a message to many, beside other libraries: make bench-fanout ARGS="-help"
	@go build -C bench/peers -o $(CURDIR)/bin/fanout ./fanout
	@exec bin/fanout $(ARGS)

bench-peers: contest ## the same jobs on every library, Node and Bun, into bench/RESULTS.md (half an hour): make bench-peers ARGS="-help"
	@go build -C bench/peers -o $(CURDIR)/bin/fanout ./fanout
	@cd bench/peers/js && npm install --no-package-lock --no-audit --no-fund --silent || echo "no npm modules: without Node and Bun"
	@exec bin/contest $(or $(ARGS),-fanout -json bench/results.json -markdown bench/RESULTS.md -plots docs/images)

bench-quick: contest ## a look before and after a change, in three minutes: bare loop, Headrace and gws
	@exec bin/contest -quick $(ARGS)

contest:
	@go build -C bench/peers -o $(CURDIR)/bin/contest ./contest

e2e: ## the server against other implementations
	@./e2e/run

fmt: tools ## format every Go file
	@$(GOFILES) | xargs $(TOOLS)/gofumpt -w

tools: $(TOOLS)/.built

$(TOOLS)/.built: tools/go.mod tools/go.sum $(wildcard tools/arrows/*.go)
	$(call step,tools,go build -C tools -buildvcs=false -o $(TOOL)/ tool ./arrows)
	@touch $@

$(CHECKS): $(TOOLS)/.built

gofumpt:
	$(call step,$@,diff=$$($(GOFILES) | xargs $(TOOL)/gofumpt -d) && test -z "$$diff" || { printf '%s\n' "$$diff" "run: make fmt"; false; })

vet:
	$(call step,$@,$(call each,go vet ./...))

staticcheck:
	$(call step,$@,$(call each,$(TOOL)/staticcheck ./...))

ineffassign:
	$(call step,$@,$(call each,$(TOOL)/ineffassign ./...))

# No locale: British and American spellings both pass.
misspell:
	$(call step,$@,$(PROSE) | xargs $(TOOL)/misspell -error)

# -d: a default case is a decision about the members left out.
exhaustive:
	$(call step,$@,$(call each,$(TOOL)/exhaustive -d ./...))

arrows:
	$(call step,$@,$(TOOL)/arrows)

tidy:
	$(call step,$@,$(call each,go mod tidy -diff))
