package intent

import (
	"net/netip"
	"slices"
	"testing"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

func TestARouterGetsAGatewayAndInterfacesAndAHost(t *testing.T) {
	c := newCloud(t)
	c.registerL3("net1")
	outside, external := c.outside()
	r := c.router(alice, nil)
	if c.hostOf(r.ID) != "" || r.Status != "ACTIVE" || !r.AdminStateUp {
		t.Errorf("made %+v on %q", r, c.hostOf(r.ID))
	}
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.0.0.0/24")
	var i Interface
	c.do(alice, func(tx *Tx) (err error) { i, err = AddRouterInterface(tx, r.ID, s.ID, ""); return })
	p := c.storedPort(i.PortID)
	if i.RouterID != r.ID || i.NetworkID != n.ID || i.SubnetID != s.ID || !slices.Equal(i.SubnetIDs, []neutrino.ID{s.ID}) || i.ProjectID != "alice" {
		t.Errorf("answered %+v", i)
	}
	if !slices.Equal(addresses(p), []string{"10.0.0.1"}) || p.DeviceOwner != "network:router_interface" || p.DeviceID != string(r.ID) ||
		p.PortSecurityEnabled || len(p.SecurityGroups) > 0 || p.HostID != "net1" || p.VIFType != "ovs" || p.Name != "" || p.ProjectID != "alice" {
		t.Errorf("interface %+v", p)
	}
	if c.hostOf(r.ID) != "net1" {
		t.Errorf("the router is on %q", c.hostOf(r.ID))
	}
	gate := func(r *neutrino.Router) { r.Gateway = &neutrino.Gateway{NetworkID: outside.ID} }
	c.do(alice, updateRouter(r.ID, gate, "external_gateway_info"))
	now := c.storedRouter(r.ID)
	g := c.storedPort(now.GatewayPortID)
	if !now.Gateway.EnableSNAT || g.ProjectID != "" || g.DeviceOwner != "network:router_gateway" || g.HostID != "net1" || len(g.FixedIPs) != 1 ||
		g.FixedIPs[0].SubnetID != external.ID || g.FixedIPs[0].IPAddress == external.GatewayIP {
		t.Errorf("gateway %+v of %+v", g, now)
	}
	if work.VisiblePort(alice, c.db.Snapshot(), g) || !work.VisibleNetwork(alice, c.db.Snapshot(), outside) || work.VisibleSubnet(alice, c.db.Snapshot(), external) {
		t.Error("visibility is wrong")
	}
	c.refused(bob, "RouterNotFound", addSubnet(r.ID, s.ID))
	c.refused(alice, "NetworkNotFound", create(neutrino.Port{NetworkID: outside.ID}))
	c.do(alice, updateRouter(r.ID, gate, "external_gateway_info"))
	if again := c.storedRouter(r.ID); again.GatewayPortID != g.ID {
		t.Error("the same network made another port")
	}
	c.refused(alice, "RouterInUse", func(tx *Tx) error { return DeleteRouter(tx, r.ID) })
	c.refused(admin, "ServicePortInUse", func(tx *Tx) error { return DeletePort(tx, p.ID) })
	c.refused(admin, "ServicePortInUse", func(tx *Tx) error { return DeletePort(tx, g.ID) })
	c.refused(alice, "SubnetInUse", func(tx *Tx) error { return DeleteSubnet(tx, s.ID) })
	c.refused(admin, "NetworkInUse", func(tx *Tx) error { return DeleteNetwork(tx, outside.ID) })
	c.do(alice, removeSubnet(r.ID, s.ID))
	c.do(alice, func(tx *Tx) error { return DeleteRouter(tx, r.ID) })
	if left := c.portsOf(outside); len(left) != 0 || c.vlan("net1", outside) != 0 || c.vlan("net1", n) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestAGatewayThatFailsLeavesNoRouter(t *testing.T) {
	c := newCloud(t)
	outside, external := c.outside()
	inside := c.network(alice, neutrino.Network{})
	with := func(network neutrino.ID, list ...neutrino.FixedIP) neutrino.Router {
		return neutrino.Router{Gateway: &neutrino.Gateway{NetworkID: network, FixedIPs: list}}
	}
	try := func(r neutrino.Router, set ...string) func(*Tx) error {
		return func(tx *Tx) error { _, err := CreateRouter(tx, r, fieldsOf(set...)); return err }
	}
	at := func(a string) neutrino.FixedIP { return neutrino.FixedIP{IPAddress: ip(a)} }
	c.refused(admin, "NetworkNotFound", try(with("nowhere")))
	c.refused(alice, "BadRequest", try(with(inside.ID)))
	c.refused(admin, "BadRequest", try(with(outside.ID, at("203.0.113.1"))))
	c.refused(admin, "InvalidIpForNetwork", try(with(outside.ID, at("10.0.0.9"))))
	c.refused(admin, "InvalidIpForSubnet", try(with(outside.ID, neutrino.FixedIP{SubnetID: external.ID, IPAddress: ip("203.0.113.15")})))
	c.refused(alice, "AvailabilityZoneNotFound", try(neutrino.Router{AvailabilityZoneHints: []string{"mars"}}))
	var made *neutrino.Router
	c.do(admin, func(tx *Tx) (err error) {
		made, err = CreateRouter(tx, with(outside.ID, at("203.0.113.5")), fieldsOf(gatewaySNAT, gatewayFixedIPs))
		return
	})
	if made.Gateway.EnableSNAT || made.Gateway.FixedIPs[0] != (neutrino.FixedIP{SubnetID: external.ID, IPAddress: ip("203.0.113.5")}) {
		t.Errorf("made %+v", made.Gateway)
	}
	c.refused(admin, "IpAddressAlreadyAllocated", try(with(outside.ID, at("203.0.113.5"))))
	c.do(admin, updateRouter(made.ID, func(r *neutrino.Router) { r.Gateway = with(outside.ID, at("203.0.113.6")).Gateway },
		"external_gateway_info", gatewayFixedIPs))
	now := c.storedRouter(made.ID)
	if now.GatewayPortID != made.GatewayPortID || addresses(c.storedPort(now.GatewayPortID))[0] != "203.0.113.6" || !now.Gateway.EnableSNAT {
		t.Errorf("now %+v", now)
	}
	c.updatePort(admin, now.GatewayPortID, func(p *neutrino.Port) { p.FixedIPs = []neutrino.FixedIP{at("203.0.113.7")} }, "fixed_ips")
	c.do(admin, updateRouter(made.ID, func(r *neutrino.Router) { r.Gateway = nil }, "external_gateway_info"))
	if len(c.portsOf(outside)) != 0 {
		t.Error("the gateway port stays")
	}
}

func TestInterfacesThatCannotBe(t *testing.T) {
	c := newCloud(t)
	outside, external := c.outside()
	n, s, r := c.behind(alice, outside, "10.0.0.0/24")
	same := c.subnet(alice, c.network(alice, neutrino.Network{}), "10.0.0.0/25")
	c.refused(alice, "BadRequest", addSubnet(r.ID, ""))
	c.refused(alice, "BadRequest", func(tx *Tx) error { _, err := AddRouterInterface(tx, r.ID, s.ID, "p"); return err })
	c.refused(alice, "BadRequest", addSubnet(r.ID, s.ID))
	c.refused(alice, "BadRequest", addSubnet(r.ID, same.ID))
	c.refused(admin, "BadRequest", addSubnet(r.ID, external.ID))
	c.refused(alice, "SubnetNotFound", addSubnet(r.ID, "nowhere"))
	none := c.subnet(alice, n, "10.1.0.0/24", func(s *neutrino.Subnet) { s.GatewayIP = netip.Addr{} })
	c.do(alice, func(tx *Tx) error {
		_, err := UpdateSubnet(tx, none.ID, func(s *neutrino.Subnet) error { s.GatewayIP = netip.Addr{}; return nil }, fieldsOf("gateway_ip"))
		return err
	})
	c.refused(alice, "BadRequest", addSubnet(r.ID, none.ID))
	taken := c.subnet(alice, n, "10.2.0.0/24")
	c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.2.0.1")}}})
	c.refused(alice, "IpAddressAlreadyAllocated", addSubnet(r.ID, taken.ID))
	shared := c.subnet(bob, c.network(admin, neutrino.Network{ProjectID: "bob", Shared: true}, "project_id"), "10.3.0.0/24")
	c.refused(alice, "BadRequest", addSubnet(r.ID, shared.ID))

	c.refused(alice, "PortNotFound", addPortTo(r.ID, "nowhere"))
	used := c.port(alice, neutrino.Port{NetworkID: n.ID, DeviceID: "vm", FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.1.0.7")}}})
	c.refused(alice, "PortInUse", addPortTo(r.ID, used.ID))
	bare := c.port(alice, neutrino.Port{NetworkID: n.ID}, "fixed_ips")
	c.refused(alice, "BadRequest", addPortTo(r.ID, bare.ID))
	two := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.1.0.8")}, {IPAddress: ip("10.2.0.8")}}})
	c.refused(alice, "BadRequest", addPortTo(r.ID, two.ID))

	good := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.2.0.9")}}})
	c.do(alice, addPortTo(r.ID, good.ID))
	if p := c.storedPort(good.ID); p.PortSecurityEnabled || len(p.SecurityGroups) > 0 || p.DeviceID != string(r.ID) {
		t.Errorf("attached %+v", p)
	}
	c.refused(alice, "SubnetMismatchForPort", func(tx *Tx) error { _, err := RemoveRouterInterface(tx, r.ID, s.ID, good.ID); return err })
	c.refused(alice, "RouterInterfaceNotFound", func(tx *Tx) error { _, err := RemoveRouterInterface(tx, r.ID, "", bare.ID); return err })
	c.refused(alice, "RouterInterfaceNotFoundForSubnet", removeSubnet(r.ID, none.ID))
	c.refused(alice, "BadRequest", removeSubnet(r.ID, ""))
	c.do(alice, func(tx *Tx) error { _, err := RemoveRouterInterface(tx, r.ID, taken.ID, good.ID); return err })
}

func TestNobodyPassesForARouter(t *testing.T) {
	c := newCloud(t)
	outside, _ := c.outside()
	n, s, r := c.behind(alice, outside, "10.0.0.0/24")
	mine := c.network(bob, neutrino.Network{})
	pose := func(network *neutrino.Network) neutrino.Port {
		return neutrino.Port{NetworkID: network.ID, DeviceOwner: neutrino.OwnerRouter, DeviceID: string(r.ID)}
	}
	c.refused(bob, "DeviceIDNotOwnedByTenant", create(pose(mine)))
	c.refused(alice, "UnsupportedPortDeviceOwner", create(pose(n)))
	p := c.port(bob, neutrino.Port{NetworkID: mine.ID})
	c.refused(bob, "DeviceIDNotOwnedByTenant", updatePort(p.ID, func(p *neutrino.Port) {
		p.DeviceOwner, p.DeviceID = neutrino.OwnerGateway, string(r.ID)
	}, nil, "device_owner", "device_id"))
	real := interfacesOf(c.db.Snapshot(), r.ID)[0]
	c.refused(alice, "UnsupportedPortDeviceOwner", updatePort(real.ID, func(p *neutrino.Port) { p.DeviceID = "" }, nil, "device_id"))
	c.refused(admin, "UnsupportedPortDeviceOwner", updatePort(real.ID, onHost("h"), nil, "binding:host_id"))
	c.refused(alice, "IPAddressChangeNotAllowed", updatePort(real.ID, func(p *neutrino.Port) {
		p.FixedIPs = []neutrino.FixedIP{{IPAddress: ip("10.0.0.7")}}
	}, nil, "fixed_ips"))
	move := func(tx *Tx) error {
		_, err := UpdateSubnet(tx, s.ID, func(s *neutrino.Subnet) error { s.GatewayIP = ip("10.0.0.254"); return nil }, fieldsOf("gateway_ip"))
		return err
	}
	c.do(alice, func(tx *Tx) error {
		_, err := UpdateSubnet(tx, s.ID, func(s *neutrino.Subnet) error {
			s.AllocationPools = []neutrino.Pool{{Start: ip("10.0.0.10"), End: ip("10.0.0.20")}}
			return nil
		}, fieldsOf("allocation_pools"))
		return err
	})
	c.refused(alice, "GatewayIpInUse", move)
	c.do(alice, removeSubnet(r.ID, s.ID))
	c.do(alice, move)
}

func TestIPv6PrefixesJoinOnePort(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	one, two := c.subnet(alice, n, "fd00:1::/64", slaac), c.subnet(alice, n, "fd00:2::/64", slaac)
	four := c.subnet(alice, n, "10.0.0.0/24")
	r := c.router(alice, nil)
	for _, s := range []*neutrino.Subnet{one, two, four} {
		c.do(alice, addSubnet(r.ID, s.ID))
	}
	list := interfacesOf(c.db.Snapshot(), r.ID)
	if len(list) != 2 {
		t.Fatalf("%d ports", len(list))
	}
	i := slices.IndexFunc(list, func(p *neutrino.Port) bool { return len(p.FixedIPs) == 2 })
	if i < 0 || !slices.Equal(addresses(list[i]), []string{"fd00:1::", "fd00:2::"}) {
		t.Fatalf("ports %v %v", addresses(list[0]), addresses(list[1]))
	}
	second := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{SubnetID: c.subnet(alice, n, "fd00:3::/64").ID}}})
	c.refused(alice, "BadRequest", addPortTo(r.ID, second.ID))
	c.do(alice, removeSubnet(r.ID, one.ID))
	if got := addresses(c.storedPort(list[i].ID)); !slices.Equal(got, []string{"fd00:2::"}) {
		t.Errorf("left %v", got)
	}
	c.do(alice, removeSubnet(r.ID, two.ID))
	if _, ok := store.Peek(c.db.Snapshot(), store.Ports, list[i].ID); ok {
		t.Error("the port stays without a prefix")
	}
}

func TestRoutesLeadToNeighbours(t *testing.T) {
	c := newCloud(t)
	outside, _ := c.outside()
	_, s, r := c.behind(alice, outside, "10.0.0.0/24")
	route := func(to, via string) neutrino.HostRoute {
		return neutrino.HostRoute{Destination: netip.MustParsePrefix(to), Nexthop: ip(via)}
	}
	put := func(list ...neutrino.HostRoute) func(*Tx) error {
		return updateRouter(r.ID, func(r *neutrino.Router) { r.Routes = list }, "routes")
	}
	c.refused(alice, "InvalidRoutes", put(route("10.9.0.0/24", "10.1.0.1")))
	c.refused(alice, "InvalidRoutes", put(route("10.9.0.0/24", "10.0.0.1")))
	c.refused(alice, "InvalidInput", put(route("10.9.0.1/24", "10.0.0.9")))
	c.refused(alice, "InvalidInput", put(route("fd00::/64", "10.0.0.9")))
	c.refused(alice, "InvalidInput", put(route("10.9.0.0/24", "10.0.0.9"), route("10.9.0.0/24", "10.0.0.9")))
	c.refused(alice, "RoutesExhausted", put(make([]neutrino.HostRoute, 31)...))
	c.do(alice, put(route("10.9.0.0/24", "10.0.0.9"), route("0.0.0.0/0", "203.0.113.1")))
	extra := func(f func(*Tx, neutrino.ID, []neutrino.HostRoute) (*neutrino.Router, error), list ...neutrino.HostRoute) []neutrino.HostRoute {
		c.do(alice, func(tx *Tx) error { _, err := f(tx, r.ID, list); return err })
		return c.storedRouter(r.ID).Routes
	}
	if got := extra(AddExtraRoutes, route("10.9.0.0/24", "10.0.0.9"), route("10.8.0.0/24", "10.0.0.9")); len(got) != 3 {
		t.Errorf("routes %v", got)
	}
	if got := extra(RemoveExtraRoutes, route("10.8.0.0/24", "10.0.0.9"), route("10.7.0.0/24", "10.0.0.9")); len(got) != 2 {
		t.Errorf("routes %v", got)
	}
	c.refused(alice, "RouterInterfaceInUseByRoute", removeSubnet(r.ID, s.ID))
	c.refused(alice, "RouterInterfaceInUseByRoute", updateRouter(r.ID, func(r *neutrino.Router) { r.Gateway = nil }, "external_gateway_info"))
	c.do(alice, put())
	c.do(alice, removeSubnet(r.ID, s.ID))
}
