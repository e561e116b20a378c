# Everything that people and CI run. `make help` lists it.
GOLANGCI_VERSION := v2.15.0
LINT := bin/golangci-lint-$(GOLANGCI_VERSION)
GOVULNCHECK_VERSION := v1.9.0
GOVULNCHECK := bin/govulncheck-$(GOVULNCHECK_VERSION)
CYCLONEDX_VERSION := v1.10.0
CYCLONEDX := bin/cyclonedx-gomod-$(CYCLONEDX_VERSION)
DIST ?= dist
ARGS ?=
FUZZTIME ?= 30s
SOAK ?= 10m
CROWD ?= 30s

.DEFAULT_GOAL := help
.PHONY: build release release-check demo test test-real test-virtual test-deploy lint lint-supply fmt bench fuzz latency crowd chaos soak sim tune picture clean help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

build: ## build bin/peer, one static binary
	CGO_ENABLED=0 go build -trimpath -o bin/peer ./cmd/peer

release: $(CYCLONEDX) ## static binaries for all systems into DIST=dist, with SHA256SUMS and bills of materials
	BOM=$(CURDIR)/$(CYCLONEDX) sh scripts/release.sh $(DIST)

release-check: ## build the linux/amd64 release again elsewhere, without a cache: the bytes must be the same
	sh scripts/reproducible.sh $(DIST)

demo: build ## run the demo; ARGS="--duration 40s --kill-every 5s --report r.json"
	./bin/peer demo $(ARGS)

test: ## run all tests, with the race detector where goroutines meet
	@sh scripts/need-tools.sh
	@$(MAKE) --no-print-directory -j2 -O test-real test-virtual test-deploy

# Real hosts on real clocks: one package at a time, or they take each other's time.
REAL := /cmd/|/internal/
# One goroutine owns all: the race detector has nothing to find. Where the
# simulator's shards share the work, it looks at them.
ALONE := /overlay$$|/sim$$|/sim/baseline$$

test-real:
	go test -race -p 1 -timeout 10m $$(go list ./... | grep -E '$(REAL)')

# Meanwhile, with the time that those leave, and on Linux no more than that.
IDLE := nice -n 19 $(shell chrt -i 0 true 2>/dev/null && echo chrt -i 0)
test-virtual:
	$(IDLE) go test -race -timeout 10m $$(go list ./... | grep -Ev '$(REAL)|$(ALONE)')
	$(IDLE) go test -race -timeout 10m -run AnyNumberOfShards ./sim
	$(IDLE) go test -timeout 10m $$(go list ./... | grep -E '$(ALONE)')

# What reads Kubernetes' and Prometheus' languages is a module of its own.
test-deploy:
	cd deploy/check && $(IDLE) go test -timeout 10m ./...

lint: $(LINT) lint-supply ## vet, format, the import law; licences and known vulnerabilities of what we depend on
	$(LINT) run ./...

lint-supply: build $(CYCLONEDX) $(GOVULNCHECK)
	$(CYCLONEDX) bin -json -std -licenses -version dev bin/peer 2>/dev/null | go run ./scripts/licences
	sh scripts/vulnerabilities.sh $(GOVULNCHECK)

$(LINT):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/golangci-lint $(LINT)

$(CYCLONEDX):
	GOBIN=$(CURDIR)/bin go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_VERSION)
	mv bin/cyclonedx-gomod $(CYCLONEDX)

$(GOVULNCHECK):
	GOBIN=$(CURDIR)/bin go install golang.org/x/vuln/cmd/govulncheck@$(GOVULNCHECK_VERSION)
	mv bin/govulncheck $(GOVULNCHECK)

fmt: ## format the code
	gofmt -w $$(git ls-files '*.go')

bench: ## run the benchmarks, ours beside the baselines
	go test -run '^$$' -bench . -benchmem ./...

fuzz: ## fuzz every parser for FUZZTIME
	@for p in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$p || exit 1; \
	  done; done

latency: ## how far players are behind, three hops from the publisher; prints figures
	BRAIDWAY_CHAOS_LATENCY=1 go test -count 1 -timeout 5m -v -run ThreeHops ./cmd/peer

crowd: ## 250 players on one peer for CROWD=30s: what they cost it; prints figures
	BRAIDWAY_CHAOS_CROWD=$(CROWD) go test -count 1 -timeout 20m -v -run CrowdOfPlayers ./cmd/peer

chaos: ## the five transient failures on real processes, for half an hour; prints a table
	BRAIDWAY_CHAOS=full go test -count 1 -timeout 60m -v $(ARGS) ./internal/chaos

soak: ## 40 real peers that come, die and leave for SOAK=10m: nothing may grow
	BRAIDWAY_SOAK=$(SOAK) go test -count 1 -timeout 3h -v -run TestSoak ./internal/chaos

sim: build ## run three scenarios in the simulator, shortened; ARGS="--peers 1000 --seed 2"
	@for s in relay-kill mass-failure flash-crowd; do \
	  echo "== $$s"; ./bin/peer sim run $$s --peers 200 --set duration=15s $(ARGS) || exit 1; \
	done

tune: build ## sweep the defaults into docs/tuning.md and tuning.csv; ARGS="--seeds 5"
	./bin/peer sim tune --out docs $(ARGS)

picture: ## pictures of the demo's page for the README, made by a browser: docs/plots/page*.png
	BRAIDWAY_PAGE_PNG=$(CURDIR)/docs/plots/page.png go test -count 1 -timeout 5m -v -run TestPagePicture ./cmd/peer

clean: ## remove what was built
	rm -rf bin $(DIST)
