package gophercloud

import (
	"context"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/agents"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/extraroutes"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/portforwarding"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
)

// madeRouter is a router on the external network and on a subnet, with a port
// on that, all gone after the test.
func madeRouter(t *testing.T, c *gophercloud.ServiceClient, cidr string) (*routers.Router, *ports.Port) {
	t.Helper()
	ctx := t.Context()
	n := madeNetwork(t, c, "gc-router")
	s := madeSubnet(t, c, n.ID, cidr)
	p := madePort(t, c, ports.CreateOpts{NetworkID: n.ID})
	r := ok(routers.Create(ctx, c, routers.CreateOpts{Name: "gc", GatewayInfo: &routers.GatewayInfo{NetworkID: public(t)}}).Extract())(t)
	later(t, "router", func(ctx context.Context) error { return routers.Delete(ctx, c, r.ID).ExtractErr() })
	i := ok(routers.AddInterface(ctx, c, r.ID, routers.AddInterfaceOpts{SubnetID: s.ID}).Extract())(t)
	same(t, "subnet of the interface", i.SubnetID, s.ID)
	later(t, "interface", func(ctx context.Context) error {
		_, err := routers.RemoveInterface(ctx, c, r.ID, routers.RemoveInterfaceOpts{SubnetID: s.ID}).Extract()
		return err
	})
	return r, p
}

func TestRouterLives(t *testing.T) {
	ctx, c := client(t)
	r, p := madeRouter(t, c, "10.60.0.0/24")
	same(t, "status", r.Status, "ACTIVE")
	same(t, "gateway", r.GatewayInfo.NetworkID, public(t))
	if len(r.GatewayInfo.ExternalFixedIPs) == 0 || r.GatewayInfo.EnableSNAT == nil || !*r.GatewayInfo.EnableSNAT {
		t.Errorf("gateway %+v", r.GatewayInfo)
	}
	hop := p.FixedIPs[0].IPAddress
	u := ok(routers.Update(ctx, c, r.ID, routers.UpdateOpts{
		Name: "gc2", Routes: &[]routers.Route{{DestinationCIDR: "10.61.0.0/16", NextHop: hop}},
		GatewayInfo: &routers.GatewayInfo{NetworkID: public(t), EnableSNAT: ptr(false)},
	}).Extract())(t)
	same(t, "name", u.Name, "gc2")
	same(t, "snat", *u.GatewayInfo.EnableSNAT, false)
	same(t, "route", u.Routes[0], routers.Route{DestinationCIDR: "10.61.0.0/16", NextHop: hop})
	more := ok(extraroutes.Add(ctx, c, r.ID, extraroutes.Opts{Routes: &[]routers.Route{{DestinationCIDR: "10.62.0.0/16", NextHop: hop}}}).Extract())(t)
	same(t, "routes", len(more.Routes), 2)
	less := ok(extraroutes.Remove(ctx, c, r.ID, extraroutes.Opts{Routes: &[]routers.Route{{DestinationCIDR: "10.61.0.0/16", NextHop: hop}}}).Extract())(t)
	same(t, "routes", len(less.Routes), 1)
	refused(t, routers.Delete(ctx, c, r.ID).ExtractErr(), http.StatusConflict)
	_ = ok(routers.Update(ctx, c, r.ID, routers.UpdateOpts{Routes: &[]routers.Route{}}).Extract())(t)
	// Terraform waits until the interface is ACTIVE: the agent has made it.
	found := list(t, routers.List(c, routers.ListOpts{Name: "gc2"}), routers.ExtractRouters)
	if len(found) != 1 || found[0].ID != r.ID {
		t.Errorf("found %+v", found)
	}
	hosts := list(t, routers.ListL3Agents(c, r.ID), routers.ExtractL3Agents)
	if len(hosts) != 1 || !hosts[0].Alive {
		t.Errorf("agents of the router %+v", hosts)
	}
}

func TestFloatingIPLives(t *testing.T) {
	ctx, c := client(t)
	_, p := madeRouter(t, c, "10.63.0.0/24")
	f := ok(floatingips.Create(ctx, c, floatingips.CreateOpts{FloatingNetworkID: public(t), Description: "d"}).Extract())(t)
	later(t, "floating IP", func(ctx context.Context) error { return floatingips.Delete(ctx, c, f.ID).ExtractErr() })
	same(t, "status", f.Status, "DOWN")
	u := ok(floatingips.Update(ctx, c, f.ID, floatingips.UpdateOpts{PortID: ptr(p.ID)}).Extract())(t)
	same(t, "address", u.FixedIP, p.FixedIPs[0].IPAddress)
	if u.RouterID == "" {
		t.Error("the floating IP has no router")
	}
	found := list(t, floatingips.List(c, floatingips.ListOpts{PortID: p.ID}), floatingips.ExtractFloatingIPs)
	if len(found) != 1 || found[0].FloatingIP != f.FloatingIP {
		t.Errorf("found %+v", found)
	}
	u = ok(floatingips.Update(ctx, c, f.ID, floatingips.UpdateOpts{PortID: ptr("")}).Extract())(t)
	same(t, "port", u.PortID, "")
	_, err := floatingips.Create(ctx, c, floatingips.CreateOpts{FloatingNetworkID: public(t), FloatingIP: f.FloatingIP}).Extract()
	refused(t, err, http.StatusConflict)
}

func TestPortForwardingLives(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "floating-ip-port-forwarding")
	_, p := madeRouter(t, c, "10.64.0.0/24")
	f := ok(floatingips.Create(ctx, c, floatingips.CreateOpts{FloatingNetworkID: public(t)}).Extract())(t)
	later(t, "floating IP", func(ctx context.Context) error { return floatingips.Delete(ctx, c, f.ID).ExtractErr() })
	pf := ok(portforwarding.Create(ctx, c, f.ID, portforwarding.CreateOpts{
		InternalPortID: p.ID, InternalIPAddress: p.FixedIPs[0].IPAddress, InternalPort: 22, ExternalPort: 2222, Protocol: "tcp",
	}).Extract())(t)
	same(t, "external port", pf.ExternalPort, 2222)
	pf = ok(portforwarding.Update(ctx, c, f.ID, pf.ID, portforwarding.UpdateOpts{ExternalPort: 2223, Protocol: "tcp"}).Extract())(t)
	same(t, "external port", pf.ExternalPort, 2223)
	same(t, "forwardings", len(list(t, portforwarding.List(c, portforwarding.ListOpts{}, f.ID), portforwarding.ExtractPortForwardings)), 1)
	done(t, portforwarding.Delete(ctx, c, f.ID, pf.ID).ExtractErr())
}

func TestAgentsAndTheirSchedulers(t *testing.T) {
	ctx, c := client(t)
	needs(t, c, "agent", "dhcp_agent_scheduler", "l3_agent_scheduler")
	all := list(t, agents.List(c, agents.ListOpts{}), agents.ExtractAgents)
	kinds := map[string]agents.Agent{}
	for _, a := range all {
		if a.Alive {
			kinds[a.AgentType] = a
		}
	}
	dhcp, l3 := kinds["DHCP agent"], kinds["L3 agent"]
	if kinds["Open vSwitch agent"].ID == "" || dhcp.ID == "" || l3.ID == "" || l3.HeartbeatTimestamp.IsZero() {
		t.Fatalf("agents %+v", all)
	}
	u := ok(agents.Update(ctx, c, dhcp.ID, agents.UpdateOpts{Description: ptr("here")}).Extract())(t)
	same(t, "description", u.Description, "here")
	same(t, "show", ok(agents.Get(ctx, c, l3.ID).Extract())(t).Host, l3.Host)

	n := madeNetwork(t, c, "gc-scheduled")
	madeSubnet(t, c, n.ID, "10.65.0.0/24")
	serves := func() bool {
		for _, served := range ok(agents.ListDHCPNetworks(ctx, c, dhcp.ID).Extract())(t) {
			if served.ID == n.ID {
				return true
			}
		}
		return false
	}
	if serves() {
		done(t, agents.RemoveDHCPNetwork(ctx, c, dhcp.ID, n.ID).ExtractErr())
		same(t, "serves after removal", serves(), false)
	}
	done(t, agents.ScheduleDHCPNetwork(ctx, c, dhcp.ID, agents.ScheduleDHCPNetworkOpts{NetworkID: n.ID}).ExtractErr())
	same(t, "serves", serves(), true)

	r := ok(routers.Create(ctx, c, routers.CreateOpts{Name: "gc-scheduled"}).Extract())(t)
	later(t, "router", func(ctx context.Context) error { return routers.Delete(ctx, c, r.ID).ExtractErr() })
	done(t, agents.ScheduleL3Router(ctx, c, l3.ID, agents.ScheduleL3RouterOpts{RouterID: r.ID}).ExtractErr())
	runs := ok(agents.ListL3Routers(ctx, c, l3.ID).Extract())(t)
	if len(runs) == 0 {
		t.Error("the agent runs no router after one was scheduled to it")
	}
	done(t, agents.RemoveL3Router(ctx, c, l3.ID, r.ID).ExtractErr())
}

func TestExternalNetworkIsSeenByAllAndItsSubnetsOnlyWhenShared(t *testing.T) {
	ctx, c := client(t)
	_, other := client(t, demo)
	n := ok(networks.Create(ctx, c, external.CreateOptsExt{
		CreateOptsBuilder: networks.CreateOpts{Name: "gc-outside"}, External: ptr(true),
	}).Extract())(t)
	later(t, "network", func(ctx context.Context) error { return networks.Delete(ctx, c, n.ID).ExtractErr() })
	s := madeSubnet(t, c, n.ID, "198.51.100.0/24")
	same(t, "name", ok(networks.Get(ctx, other, n.ID).Extract())(t).Name, "gc-outside")
	_, err := subnets.Get(ctx, other, s.ID).Extract()
	refused(t, err, http.StatusNotFound)
	ok(networks.Update(ctx, c, n.ID, networks.UpdateOpts{Shared: ptr(true)}).Extract())(t)
	same(t, "cidr", ok(subnets.Get(ctx, other, s.ID).Extract())(t).CIDR, "198.51.100.0/24")
	ok(networks.Update(ctx, c, n.ID, networks.UpdateOpts{Shared: ptr(false)}).Extract())(t)
	refused(t, networks.Delete(ctx, other, n.ID).ExtractErr(), http.StatusForbidden)
	if p, err := ports.Create(ctx, other, ports.CreateOpts{NetworkID: n.ID}).Extract(); err == nil {
		t.Errorf("port %s was made on an external network that is not shared", p.ID)
	}
}
