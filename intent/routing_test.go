package intent

import (
	"net/netip"
	"slices"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// The stories of routing: what they need, and the audit after each.

const physical = "outside"

func (c *cloud) registerL3(hosts ...string) {
	c.t.Helper()
	for i, h := range hosts {
		reg := neutrino.Registration{
			Host: h, TunnelIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 100)}), TunnelTypes: []string{"gre"},
			Services:       []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3, neutrino.AgentMetadata},
			BridgeMappings: map[string]string{physical: "br-ex"},
		}
		c.do(admin, func(tx *Tx) error { return Register(tx, reg) })
	}
}

// outside is an external network with one IPv4 subnet of 13 free addresses.
func (c *cloud) outside() (*neutrino.Network, *neutrino.Subnet) {
	c.t.Helper()
	n := c.network(admin, neutrino.Network{External: true})
	return n, c.subnet(admin, n, "203.0.113.0/28")
}

func (c *cloud) router(who Caller, gateway *neutrino.Network) (made *neutrino.Router) {
	c.t.Helper()
	c.do(who, func(tx *Tx) (err error) {
		r := neutrino.Router{}
		if gateway != nil {
			r.Gateway = &neutrino.Gateway{NetworkID: gateway.ID}
		}
		made, err = CreateRouter(tx, r, nil)
		return err
	})
	return made
}

func (c *cloud) storedRouter(id neutrino.ID) *neutrino.Router {
	c.t.Helper()
	r, ok := store.Peek(c.db.Snapshot(), store.Routers, id)
	if !ok {
		c.t.Fatalf("no router %s", id)
	}
	return r
}

func updateRouter(id neutrino.ID, change func(*neutrino.Router), set ...string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := UpdateRouter(tx, id, func(r *neutrino.Router) error { change(r); return nil }, fieldsOf(set...))
		return err
	}
}

func addSubnet(router, subnet neutrino.ID) func(*Tx) error {
	return func(tx *Tx) error { _, err := AddRouterInterface(tx, router, subnet, ""); return err }
}

func addPortTo(router, port neutrino.ID) func(*Tx) error {
	return func(tx *Tx) error { _, err := AddRouterInterface(tx, router, "", port); return err }
}

func removeSubnet(router, subnet neutrino.ID) func(*Tx) error {
	return func(tx *Tx) error { _, err := RemoveRouterInterface(tx, router, subnet, ""); return err }
}

// behind is a network of the caller's with a subnet on a router to the outside.
func (c *cloud) behind(who Caller, outside *neutrino.Network, cidr string) (*neutrino.Network, *neutrino.Subnet, *neutrino.Router) {
	c.t.Helper()
	n := c.network(who, neutrino.Network{})
	s := c.subnet(who, n, cidr)
	r := c.router(who, outside)
	c.do(who, addSubnet(r.ID, s.ID))
	return n, s, c.storedRouter(r.ID)
}

func (c *cloud) floating(who Caller, f neutrino.FloatingIP) (made *neutrino.FloatingIP) {
	c.t.Helper()
	c.do(who, func(tx *Tx) (err error) { made, err = CreateFloatingIP(tx, f, FloatingRequest{}, nil); return })
	return made
}

func createFloating(f neutrino.FloatingIP) func(*Tx) error {
	return func(tx *Tx) error { _, err := CreateFloatingIP(tx, f, FloatingRequest{}, nil); return err }
}

func updateFloating(id neutrino.ID, change func(*neutrino.FloatingIP), set ...string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := UpdateFloatingIP(tx, id, func(f *neutrino.FloatingIP) error { change(f); return nil }, fieldsOf(set...))
		return err
	}
}

func associateWith(id, port neutrino.ID) func(*Tx) error {
	return updateFloating(id, func(f *neutrino.FloatingIP) { f.PortID = port }, "port_id")
}

func (c *cloud) storedFloating(id neutrino.ID) *neutrino.FloatingIP {
	c.t.Helper()
	f, ok := store.Peek(c.db.Snapshot(), store.FloatingIPs, id)
	if !ok {
		c.t.Fatalf("no floating IP %s", id)
	}
	return f
}

func (c *cloud) hostOf(router neutrino.ID) string {
	b, ok := store.Peek(c.db.Snapshot(), store.RouterBindings, router)
	if !ok {
		return ""
	}
	return b.Host
}

func interfacesOf(snap *store.Snapshot, router neutrino.ID) []*neutrino.Port {
	var list []*neutrino.Port
	for p := range store.By(snap, store.PortsByDevice, string(router)) {
		if p.DeviceOwner == neutrino.OwnerRouter {
			list = append(list, p)
		}
	}
	return list
}

// auditRouting checks routers, gateways, floating IPs and forwardings against
// their ports, and claims what they hold.
func (c *cloud) auditRouting(snap *store.Snapshot, claim func(string, neutrino.ID)) {
	c.t.Helper()
	external := func(network, port neutrino.ID, owner string) {
		n, known := store.Peek(snap, store.Networks, network)
		p, ok := store.Peek(snap, store.Ports, port)
		if !known || !work.IsExternal(snap, n.ID) || !ok || p.NetworkID != network || p.DeviceOwner != owner || p.ProjectID != "" {
			c.t.Errorf("%s is not as it should be: %+v", owner, p)
			return
		}
		claim(externalUseClaim(network, port), port)
	}
	for r := range store.All(snap, store.Routers) {
		b, bound := store.Peek(snap, store.RouterBindings, r.ID)
		for p := range store.By(snap, store.PortsByDevice, string(r.ID)) {
			if bound && p.HostID != b.Host || !bound && p.HostID != "" {
				c.t.Errorf("port %s of router %s is on %q", p.ID, r.ID, p.HostID)
			}
		}
		if r.Gateway == nil {
			if r.GatewayPortID != "" {
				c.t.Errorf("router %s has a gateway port and no gateway", r.ID)
			}
			continue
		}
		external(r.Gateway.NetworkID, r.GatewayPortID, neutrino.OwnerGateway)
		if p, ok := store.Peek(snap, store.Ports, r.GatewayPortID); ok && !slices.Equal(p.FixedIPs, r.Gateway.FixedIPs) {
			c.t.Errorf("router %s says %v, its port %v", r.ID, r.Gateway.FixedIPs, p.FixedIPs)
		}
	}
	for b := range store.All(snap, store.RouterBindings) {
		if _, ok := store.Peek(snap, store.Routers, b.RouterID); !ok {
			c.t.Errorf("%s runs router %s, which is gone", b.Host, b.RouterID)
		}
	}
	for f := range store.All(snap, store.FloatingIPs) {
		external(f.FloatingNetworkID, f.FloatingPortID, neutrino.OwnerFloatingIP)
		forwards := store.Count(snap, store.PortForwardingsByFloatingIP, string(f.ID))
		if (f.RouterID != "") != (f.PortID != "" || forwards > 0) || f.PortID != "" && forwards > 0 {
			c.t.Errorf("floating IP %+v with %d forwardings", f, forwards)
		}
		if f.PortID != "" {
			subnet := c.auditWay(snap, f, f.PortID, f.FixedIPAddress)
			claim(portFIPClaim(f.PortID, f.FixedIPAddress, f.FloatingNetworkID), f.ID)
			claim(routerUseClaim(f.RouterID, subnet, f.ID), f.ID)
		}
	}
	for p := range store.All(snap, store.PortForwardings) {
		f, ok := store.Peek(snap, store.FloatingIPs, p.FloatingIPID)
		if !ok {
			c.t.Errorf("forwarding %s has no floating IP", p.ID)
			continue
		}
		subnet := c.auditWay(snap, f, p.InternalPortID, p.InternalIPAddress)
		claim(routerUseClaim(f.RouterID, subnet, p.ID), p.ID)
		for other := range store.By(snap, store.FloatingIPsByPort, string(p.InternalPortID)) {
			if other.FixedIPAddress == p.InternalIPAddress {
				c.t.Errorf("forwarding %s and floating IP %s lead to one address", p.ID, other.ID)
			}
		}
	}
}

// auditWay checks that the floating IP's router leads from its network to the
// port's address, and gives the address's subnet.
func (c *cloud) auditWay(snap *store.Snapshot, f *neutrino.FloatingIP, port neutrino.ID, fixed netip.Addr) neutrino.ID {
	c.t.Helper()
	p, ok := store.Peek(snap, store.Ports, port)
	if !ok {
		c.t.Errorf("floating IP %s stands for port %s, which is gone", f.ID, port)
		return ""
	}
	subnet := subnetOf(p, fixed)
	r, ok := store.Peek(snap, store.Routers, f.RouterID)
	if !ok || r.Gateway == nil || r.Gateway.NetworkID != f.FloatingNetworkID || subnet == "" {
		c.t.Errorf("floating IP %s goes nowhere", f.ID)
		return subnet
	}
	if !slices.ContainsFunc(interfacesOf(snap, r.ID), func(i *neutrino.Port) bool {
		return slices.ContainsFunc(i.FixedIPs, func(a neutrino.FixedIP) bool { return a.SubnetID == subnet })
	}) {
		c.t.Errorf("floating IP %s goes through a router without an interface there", f.ID)
	}
	return subnet
}
