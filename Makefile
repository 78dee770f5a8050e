# neutrino: the targets a person types. `make help` lists them.
GO ?= $(shell command -v go || echo /usr/local/go/bin/go)
export CGO_ENABLED ?= 0
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
PKGS = ./...

# What Debian's Keystone, Horizon and both suites of tempest need, for `make conformance`, and Nova for its part.
CONFORMANCE_PACKAGES = keystone uwsgi-core uwsgi-plugin-python3 tempest neutron-tempest-plugin openstack-dashboard
NOVA_PACKAGES = nova-api nova-conductor nova-scheduler placement-api glance-api mariadb-server-core rabbitmq-server \
	libvirt-daemon libvirt-clients python3-libvirt qemu-utils

.PHONY: help build deps lab lab-down test check bench load conformance clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: ## bin/neutrino, one static binary
	$(GO) build -trimpath -ldflags '-s -w' -o bin/neutrino ./cmd/neutrino

deps: ## install the Debian packages that are missing (root)
	@scripts/install.sh

lab: deps build ## bring up the seed's cloud on this machine and prove it by traffic (root)
	bin/neutrino lab up

lab-down: build ## take the lab down (root)
	bin/neutrino lab down

test: deps build ## everything: pure, real kernel, lab (root for all of it)
	@test "$$(id -u)" = 0 || echo 'SKIPPED: not root, so no real-kernel and no lab test runs; use: sudo make test'
	$(GO) vet $(PKGS)
	$(GO) test -count=1 -timeout 15m $$($(GO) list ./... | grep -v '/lab')
	@# One lab at a time: each is a whole cloud, and their figures are times.
	$(GO) test -count=1 -p 1 -timeout 15m ./lab/...

check: ## format, vet, static analysis, rules, pure tests with the race detector
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet $(PKGS)
	$(GO) run $(STATICCHECK) $(PKGS)
	CGO_ENABLED=1 $(GO) test -short -race -timeout 5m $(PKGS)

bench: deps build ## the figures of docs/performance.md (root)
	scripts/bench.sh

load: build ## another tenant's requests while somebody attacks the API (root)
	scripts/bench.sh load

conformance: build ## openstack, gophercloud, terraform, horizon, nova, tempest and neutron-tempest-plugin against neutrino and Debian's Keystone (root); PARTS= REGEX= FORMAT= HOLD=1
	@scripts/install.sh $(CONFORMANCE_PACKAGES) $(if $(or $(if $(PARTS),,all),$(findstring nova,$(PARTS))),$(NOVA_PACKAGES))
	$(GO) build -trimpath -o bin/conformance ./conformance
	$(GO) test -c -o bin/gophercloud.test ./conformance/gophercloud
	@$(if $(or $(if $(PARTS),,all),$(findstring terraform,$(PARTS))),GO='$(GO)' scripts/terraform.sh bin/terraform)
	@bin/conformance $(if $(PARTS),-parts '$(PARTS)') $(if $(REGEX),-regex '$(REGEX)') $(if $(FORMAT),-o '$(FORMAT)') $(if $(HOLD),-hold)

clean: ## remove what the build made
	rm -rf bin
