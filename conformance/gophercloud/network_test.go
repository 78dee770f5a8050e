package gophercloud

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/common/extensions"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/apiversions"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/attributestags"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/dns"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/mtu"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/networkipavailabilities"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/portsecurity"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/provider"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

func TestVersionsAndExtensions(t *testing.T) {
	ctx, c := client(t)
	versions := list(t, apiversions.ListVersions(c), apiversions.ExtractAPIVersions)
	if len(versions) != 1 || versions[0].ID != "v2.0" || versions[0].Status != "CURRENT" {
		t.Errorf("versions %+v", versions)
	}
	resources := list(t, apiversions.ListVersionResources(c, "v2.0"), apiversions.ExtractVersionResources)
	if !slices.ContainsFunc(resources, func(r apiversions.APIVersionResource) bool { return r.Collection == "networks" }) {
		t.Errorf("v2.0 does not name networks among %d resources", len(resources))
	}
	same(t, "extension router", ok(extensions.Get(ctx, c, "router").Extract())(t).Alias, "router")
	_, err := extensions.Get(ctx, c, "no-such-extension").Extract()
	refused(t, err, http.StatusNotFound)
}

func TestNetworkLivesAsTerraformExpects(t *testing.T) {
	ctx, c := client(t)
	n := ok(networks.Create(ctx, c, networks.CreateOpts{Name: "gc", Description: "one", AdminStateUp: ptr(true)}).Extract())(t)
	later(t, "network", func(ctx context.Context) error { return networks.Delete(ctx, c, n.ID).ExtractErr() })
	same(t, "status", n.Status, "ACTIVE")
	same(t, "shared", n.Shared, false)
	if n.ProjectID == "" || n.ProjectID != n.TenantID || n.CreatedAt.IsZero() || n.Tags == nil || n.AvailabilityZoneHints == nil {
		t.Errorf("network %+v", n)
	}
	u := ok(networks.Update(ctx, c, n.ID, networks.UpdateOpts{
		Name: ptr("gc2"), Description: ptr(""), AdminStateUp: ptr(false), RevisionNumber: ptr(n.RevisionNumber),
	}).Extract())(t)
	same(t, "name", u.Name, "gc2")
	same(t, "description", u.Description, "")
	same(t, "admin_state_up", u.AdminStateUp, false)
	if u.RevisionNumber <= n.RevisionNumber || u.UpdatedAt.Before(n.UpdatedAt) {
		t.Errorf("revision %d after %d, updated %s after %s", u.RevisionNumber, n.RevisionNumber, u.UpdatedAt, n.UpdatedAt)
	}
	_, err := networks.Update(ctx, c, n.ID, networks.UpdateOpts{Name: ptr("lost"), RevisionNumber: ptr(n.RevisionNumber)}).Extract()
	refused(t, err, http.StatusPreconditionFailed)
	found := list(t, networks.List(c, networks.ListOpts{Name: "gc2", AdminStateUp: ptr(false)}), networks.ExtractNetworks)
	if len(found) != 1 || found[0].ID != n.ID {
		t.Errorf("found %+v", found)
	}
	same(t, "show", ok(networks.Get(ctx, c, n.ID).Extract())(t).Name, "gc2")
	done(t, networks.Delete(ctx, c, n.ID).ExtractErr())
	_, err = networks.Get(ctx, c, n.ID).Extract()
	refused(t, err, http.StatusNotFound)
}

func TestNetworkAttributesOfExtensions(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "net-mtu-writable", "provider", "external-net", "port-security")
	type network struct {
		networks.Network
		mtu.NetworkMTUExt
		provider.NetworkProviderExt
		external.NetworkExternalExt
		portsecurity.PortSecurityExt
	}
	var n network
	done(t, networks.Create(ctx, c, mtu.CreateOptsExt{
		CreateOptsBuilder: portsecurity.NetworkCreateOptsExt{
			CreateOptsBuilder: networks.CreateOpts{Name: "gc-ext"}, PortSecurityEnabled: ptr(false),
		}, MTU: 1400,
	}).ExtractInto(&n))
	later(t, "network", func(ctx context.Context) error { return networks.Delete(ctx, c, n.ID).ExtractErr() })
	same(t, "mtu", n.MTU, 1400)
	same(t, "port_security_enabled", n.PortSecurityEnabled, false)
	same(t, "router:external", n.External, false)
	if n.NetworkType == "" || n.NetworkProviderExt.SegmentationID == "" {
		t.Errorf("provider attributes %+v", n.NetworkProviderExt)
	}
	done(t, networks.Update(ctx, c, n.ID, mtu.UpdateOptsExt{UpdateOptsBuilder: networks.UpdateOpts{}, MTU: 1300}).ExtractInto(&n))
	same(t, "mtu", n.MTU, 1300)
	var outside []network
	done(t, networks.ExtractNetworksInto(ok(networks.List(c, external.ListOptsExt{
		ListOptsBuilder: networks.ListOpts{}, External: ptr(true),
	}).AllPages(ctx))(t), &outside))
	for _, o := range outside {
		same(t, "router:external of "+o.Name, o.External, true)
	}
	if !slices.ContainsFunc(outside, func(o network) bool { return o.ID == public(t) }) {
		t.Errorf("external networks %+v", outside)
	}
}

func TestPagesOfNetworksFollowEachOther(t *testing.T) {
	_, c := client(t)
	want := map[string]bool{}
	for i := range 5 {
		want[madeNetwork(t, c, "page"+strconv.Itoa(i)).ID] = true
	}
	for _, n := range list(t, networks.List(c, networks.ListOpts{Limit: 2, SortKey: "name", SortDir: "desc"}), networks.ExtractNetworks) {
		delete(want, n.ID)
	}
	if len(want) > 0 {
		t.Errorf("pages of two left out %v", want)
	}
}

func TestSubnetLives(t *testing.T) {
	ctx, c := client(t)
	n := madeNetwork(t, c, "gc-subnet")
	s := ok(subnets.Create(ctx, c, subnets.CreateOpts{
		NetworkID: n.ID, Name: "s", CIDR: "10.40.0.0/24", IPVersion: gophercloud.IPv4, GatewayIP: ptr("10.40.0.254"),
		AllocationPools: []subnets.AllocationPool{{Start: "10.40.0.10", End: "10.40.0.99"}},
		DNSNameservers:  []string{"192.0.2.1"}, HostRoutes: []subnets.HostRoute{{DestinationCIDR: "10.41.0.0/16", NextHop: "10.40.0.2"}},
	}).Extract())(t)
	same(t, "gateway", s.GatewayIP, "10.40.0.254")
	same(t, "enable_dhcp", s.EnableDHCP, true)
	same(t, "pool", s.AllocationPools[0], subnets.AllocationPool{Start: "10.40.0.10", End: "10.40.0.99"})
	u := ok(subnets.Update(ctx, c, s.ID, subnets.UpdateOpts{
		GatewayIP: ptr(""), DNSNameservers: &[]string{}, HostRoutes: &[]subnets.HostRoute{}, EnableDHCP: ptr(false),
	}).Extract())(t)
	same(t, "gateway", u.GatewayIP, "")
	same(t, "enable_dhcp", u.EnableDHCP, false)
	same(t, "lists", len(u.DNSNameservers)+len(u.HostRoutes), 0)
	_, err := subnets.Create(ctx, c, subnets.CreateOpts{NetworkID: n.ID, CIDR: "10.40.0.0/25", IPVersion: gophercloud.IPv4}).Extract()
	refused(t, err, http.StatusBadRequest)
	six := ok(subnets.Create(ctx, c, subnets.CreateOpts{
		NetworkID: n.ID, CIDR: "fd00:40::/64", IPVersion: gophercloud.IPv6, IPv6AddressMode: "slaac", IPv6RAMode: "slaac",
	}).Extract())(t)
	same(t, "ra mode", six.IPv6RAMode, "slaac")
	found := list(t, subnets.List(c, subnets.ListOpts{NetworkID: n.ID, IPVersion: 6}), subnets.ExtractSubnets)
	if len(found) != 1 || found[0].ID != six.ID {
		t.Errorf("found %+v", found)
	}
	for _, id := range []string{s.ID, six.ID} {
		done(t, subnets.Delete(ctx, c, id).ExtractErr())
	}
}

func TestIPAvailabilityCountsPorts(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "network-ip-availability")
	n := madeNetwork(t, c, "gc-availability")
	s := madeSubnet(t, c, n.ID, "10.42.0.0/29")
	madePort(t, c, ports.CreateOpts{NetworkID: n.ID, FixedIPs: []ports.IP{{SubnetID: s.ID}}})
	a := ok(networkipavailabilities.Get(ctx, c, n.ID).Extract())(t)
	same(t, "total", a.TotalIPs, "5") // eight without network, broadcast and gateway
	if len(a.SubnetIPAvailabilities) != 1 || a.SubnetIPAvailabilities[0].SubnetID != s.ID || a.UsedIPs == "0" {
		t.Errorf("availability %+v", a)
	}
}

func TestTagsOfAllThatHasThem(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "standard-attr-tag")
	n := madeNetwork(t, c, "gc-tags")
	s := madeSubnet(t, c, n.ID, "10.43.0.0/24")
	p := madePort(t, c, ports.CreateOpts{NetworkID: n.ID})
	for kind, id := range map[string]string{"networks": n.ID, "subnets": s.ID, "ports": p.ID} {
		tags := ok(attributestags.ReplaceAll(ctx, c, kind, id, attributestags.ReplaceAllOpts{Tags: []string{"b", "a"}}).Extract())(t)
		same(t, kind+" tags", len(tags), 2)
		done(t, attributestags.Add(ctx, c, kind, id, "c").ExtractErr())
		same(t, kind+" c", ok(attributestags.Confirm(ctx, c, kind, id, "c").Extract())(t), true)
		done(t, attributestags.Delete(ctx, c, kind, id, "a").ExtractErr())
		same(t, kind+" a", ok(attributestags.Confirm(ctx, c, kind, id, "a").Extract())(t), false)
		same(t, kind+" tags", len(ok(attributestags.List(ctx, c, kind, id).Extract())(t)), 2)
	}
	for _, o := range []networks.ListOpts{{Tags: "b,c"}, {TagsAny: "b,z"}} {
		found := list(t, networks.List(c, o), networks.ExtractNetworks)
		if len(found) != 1 || found[0].ID != n.ID {
			t.Errorf("%+v found %+v", o, found)
		}
	}
	done(t, attributestags.DeleteAll(ctx, c, "networks", n.ID).ExtractErr())
	same(t, "tags", len(ok(networks.Get(ctx, c, n.ID).Extract())(t).Tags), 0)
}

func TestDNSAttributes(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "dns-integration")
	var n struct {
		networks.Network
		dns.NetworkDNSExt
	}
	done(t, networks.Create(ctx, c, dns.NetworkCreateOptsExt{
		CreateOptsBuilder: networks.CreateOpts{Name: "gc-dns"}, DNSDomain: "example.org.",
	}).ExtractInto(&n))
	later(t, "network", func(ctx context.Context) error { return networks.Delete(ctx, c, n.ID).ExtractErr() })
	same(t, "dns_domain", n.DNSDomain, "example.org.")
	madeSubnet(t, c, n.ID, "10.44.0.0/24")
	var p struct {
		ports.Port
		dns.PortDNSExt
	}
	done(t, ports.Create(ctx, c, dns.PortCreateOptsExt{
		CreateOptsBuilder: ports.CreateOpts{NetworkID: n.ID}, DNSName: "www",
	}).ExtractInto(&p))
	later(t, "port", func(ctx context.Context) error { return ports.Delete(ctx, c, p.ID).ExtractErr() })
	same(t, "dns_name", p.DNSName, "www")
	if len(p.DNSAssignment) != 1 || p.DNSAssignment[0]["hostname"] != "www" || p.DNSAssignment[0]["ip_address"] != p.FixedIPs[0].IPAddress {
		t.Errorf("dns_assignment %v of %v", p.DNSAssignment, p.FixedIPs)
	}
}
