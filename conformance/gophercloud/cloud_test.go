// Package gophercloud holds the story of gophercloud, the library behind
// Terraform's provider and much else written in Go, against a running neutrino.
// It is all tests, which `make conformance` runs; without the cloud that it
// brings up they skip.
package gophercloud

import (
	"context"
	"net/http"
	"os"
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/common/extensions"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/gophercloud/gophercloud/v2/pagination"
)

// client logs in at the cloud that the environment names, as its user or, with
// a name, as another with the same password in the project of that name.
func client(t *testing.T, as ...string) (context.Context, *gophercloud.ServiceClient) {
	t.Helper()
	if os.Getenv("NEUTRINO_CONFORMANCE") == "" {
		t.Skip("SKIPPED: no cloud to talk to; make conformance brings one up")
	}
	ctx := t.Context()
	user, domain := os.Getenv("OS_USERNAME"), os.Getenv("OS_USER_DOMAIN_NAME")
	if len(as) > 0 {
		user = as[0]
	}
	opts := gophercloud.AuthOptions{
		IdentityEndpoint: os.Getenv("OS_AUTH_URL"), Username: user, Password: os.Getenv("OS_PASSWORD"), DomainName: domain,
		Scope: &gophercloud.AuthScope{ProjectName: user, DomainName: domain},
	}
	provider := ok(openstack.AuthenticatedClient(ctx, opts))(t)
	return ctx, ok(openstack.NewNetworkV2(provider, gophercloud.EndpointOpts{Region: os.Getenv("OS_REGION_NAME")}))(t)
}

// demo is a user without the role admin.
const demo = "demo"

// needs skips a test of extensions that the server does not say it has.
func needs(t *testing.T, c *gophercloud.ServiceClient, aliases ...string) {
	t.Helper()
	all := ok(extensions.ExtractExtensions(ok(extensions.List(c).AllPages(t.Context()))(t)))(t)
	for _, alias := range aliases {
		if !slices.ContainsFunc(all, func(e extensions.Extension) bool { return e.Alias == alias }) {
			t.Skipf("the server does not have the extension %s", alias)
		}
	}
}

// ok is the value of a call that has to succeed.
func ok[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// done is a call without a value that has to succeed.
func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused is a call that has to fail with a status.
func refused(t *testing.T, err error, status int) {
	t.Helper()
	if !gophercloud.ResponseCodeIs(err, status) {
		t.Errorf("got %v, want status %d", err, status)
	}
}

// same holds two values to each other.
func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// later deletes something at the end of the test. What is gone already is fine.
func later(t *testing.T, what string, del func(context.Context) error) {
	t.Helper()
	t.Cleanup(func() {
		err := del(context.Background())
		if err != nil && !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
			t.Errorf("delete %s: %v", what, err)
		}
	})
}

// list gets all pages of a list.
func list[T any](t *testing.T, pages pagination.Pager, extract func(pagination.Page) ([]T, error)) []T {
	t.Helper()
	return ok(extract(ok(pages.AllPages(t.Context()))(t)))(t)
}

// madeNetwork is a network that is gone after the test.
func madeNetwork(t *testing.T, c *gophercloud.ServiceClient, name string) *networks.Network {
	t.Helper()
	n := ok(networks.Create(t.Context(), c, networks.CreateOpts{Name: name}).Extract())(t)
	later(t, "network "+name, func(ctx context.Context) error { return networks.Delete(ctx, c, n.ID).ExtractErr() })
	return n
}

// madeSubnet is a subnet that is gone after the test.
func madeSubnet(t *testing.T, c *gophercloud.ServiceClient, network, cidr string) *subnets.Subnet {
	t.Helper()
	s := ok(subnets.Create(t.Context(), c, subnets.CreateOpts{
		NetworkID: network, CIDR: cidr, IPVersion: gophercloud.IPv4, Name: cidr,
	}).Extract())(t)
	later(t, "subnet "+cidr, func(ctx context.Context) error { return subnets.Delete(ctx, c, s.ID).ExtractErr() })
	return s
}

// madePort is a port that is gone after the test.
func madePort(t *testing.T, c *gophercloud.ServiceClient, opts ports.CreateOptsBuilder) *ports.Port {
	t.Helper()
	p := ok(ports.Create(t.Context(), c, opts).Extract())(t)
	later(t, "port", func(ctx context.Context) error { return ports.Delete(ctx, c, p.ID).ExtractErr() })
	return p
}

// public is the external network.
func public(t *testing.T) string {
	t.Helper()
	id := os.Getenv("NEUTRINO_CONFORMANCE_PUBLIC")
	if id == "" {
		t.Fatal("NEUTRINO_CONFORMANCE_PUBLIC does not name the external network")
	}
	return id
}

func ptr[T any](v T) *T { return &v }
