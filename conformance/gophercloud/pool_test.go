package gophercloud

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/addressscopes"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/quotas"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/rbacpolicies"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/subnetpools"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

func TestAddressScopeLives(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "address-scope")
	s := ok(addressscopes.Create(ctx, c, addressscopes.CreateOpts{Name: "gc", IPVersion: 4}).Extract())(t)
	later(t, "scope", func(ctx context.Context) error { return addressscopes.Delete(ctx, c, s.ID).ExtractErr() })
	same(t, "ip_version", s.IPVersion, 4)
	u := ok(addressscopes.Update(ctx, c, s.ID, addressscopes.UpdateOpts{Name: ptr("gc2")}).Extract())(t)
	same(t, "name", u.Name, "gc2")
	found := list(t, addressscopes.List(c, addressscopes.ListOpts{Name: "gc2"}), addressscopes.ExtractAddressScopes)
	if len(found) != 1 || found[0].ID != s.ID {
		t.Errorf("found %+v", found)
	}
	done(t, addressscopes.Delete(ctx, c, s.ID).ExtractErr())
	_, err := addressscopes.Get(ctx, c, s.ID).Extract()
	refused(t, err, http.StatusNotFound)
}

func TestSubnetPoolGivesPrefixes(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "subnet_allocation")
	p := ok(subnetpools.Create(ctx, c, subnetpools.CreateOpts{
		Name: "gc", Prefixes: []string{"10.70.0.0/24"}, DefaultPrefixLen: 26, MinPrefixLen: 24, MaxPrefixLen: 28,
	}).Extract())(t)
	later(t, "pool", func(ctx context.Context) error { return subnetpools.Delete(ctx, c, p.ID).ExtractErr() })
	same(t, "default_prefixlen", p.DefaultPrefixLen, 26)
	n := madeNetwork(t, c, "gc-pool")
	give := func(bits int) (*subnets.Subnet, error) {
		return subnets.Create(ctx, c, subnets.CreateOpts{
			NetworkID: n.ID, SubnetPoolID: p.ID, Prefixlen: bits, IPVersion: gophercloud.IPv4,
		}).Extract()
	}
	a, b := ok(give(25))(t), ok(give(0))(t)
	same(t, "pool of the subnet", a.SubnetPoolID, p.ID)
	if a.CIDR == b.CIDR || a.CIDR[len(a.CIDR)-3:] != "/25" || b.CIDR[len(b.CIDR)-3:] != "/26" {
		t.Errorf("prefixes %s and %s", a.CIDR, b.CIDR)
	}
	if _, err := give(25); err == nil {
		t.Error("a third prefix was given where there is no room")
	}
	u := ok(subnetpools.Update(ctx, c, p.ID, subnetpools.UpdateOpts{Prefixes: []string{"10.70.0.0/24", "10.70.1.0/24"}}).Extract())(t)
	if !slices.Contains(u.Prefixes, "10.70.0.0/23") && len(u.Prefixes) != 2 {
		t.Errorf("prefixes %v", u.Prefixes)
	}
	refused(t, subnetpools.Delete(ctx, c, p.ID).ExtractErr(), http.StatusBadRequest) // api.md section 2
	for _, s := range []*subnets.Subnet{a, b} {
		done(t, subnets.Delete(ctx, c, s.ID).ExtractErr())
	}
	found := list(t, subnetpools.List(c, subnetpools.ListOpts{Name: "gc"}), subnetpools.ExtractSubnetPools)
	same(t, "pools found", len(found), 1)
}

func TestRBACPolicySharesANetwork(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "rbac-policies")
	_, other := client(t, demo)
	// The project of the other is that of what it makes.
	own := madeNetwork(t, other, "gc-own")
	n := madeNetwork(t, c, "gc-shared")
	_, err := networks.Get(ctx, other, n.ID).Extract()
	refused(t, err, http.StatusNotFound)
	r := ok(rbacpolicies.Create(ctx, c, rbacpolicies.CreateOpts{
		Action: rbacpolicies.ActionAccessShared, ObjectType: "network", ObjectID: n.ID, TargetTenant: own.ProjectID,
	}).Extract())(t)
	later(t, "policy", func(ctx context.Context) error { return rbacpolicies.Delete(ctx, c, r.ID).ExtractErr() })
	same(t, "shared", ok(networks.Get(ctx, other, n.ID).Extract())(t).Shared, true)
	u := ok(rbacpolicies.Update(ctx, c, r.ID, rbacpolicies.UpdateOpts{TargetTenant: "*"}).Extract())(t)
	same(t, "target", u.TargetTenant, "*")
	found := list(t, rbacpolicies.List(c, rbacpolicies.ListOpts{ObjectID: n.ID}), rbacpolicies.ExtractRBACPolicies)
	same(t, "policies", len(found), 1)
	done(t, rbacpolicies.Delete(ctx, c, r.ID).ExtractErr())
	_, err = networks.Get(ctx, other, n.ID).Extract()
	refused(t, err, http.StatusNotFound)
}

func TestQuotaHoldsAndCounts(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "quotas", "quota_details")
	_, other := client(t, demo)
	project := madeNetwork(t, other, "gc-quota").ProjectID
	before := ok(quotas.GetDetail(ctx, c, project).Extract())(t)
	later(t, "quota", func(ctx context.Context) error { return quotas.Delete(ctx, c, project).ExtractErr() })
	q := ok(quotas.Update(ctx, c, project, quotas.UpdateOpts{Network: ptr(before.Network.Used), Port: ptr(-1)}).Extract())(t)
	same(t, "limit", q.Network, before.Network.Used)
	same(t, "limit of ports", q.Port, -1)
	_, err := networks.Create(ctx, other, networks.CreateOpts{Name: "gc-too-many"}).Extract()
	refused(t, err, http.StatusConflict)
	d := ok(quotas.GetDetail(ctx, c, project).Extract())(t)
	same(t, "detail", d.Network, quotas.QuotaDetail{Used: before.Network.Used, Limit: before.Network.Used})
	done(t, quotas.Delete(ctx, c, project).ExtractErr())
	same(t, "limit after reset", ok(quotas.Get(ctx, c, project).Extract())(t).Network, before.Network.Limit)
}
