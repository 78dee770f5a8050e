package intent

import (
	"math/rand/v2"
	"testing"

	"neutrino"
	"neutrino/store"
)

func TestManyAtOnceForOneFloatingIP(t *testing.T) {
	c := newCloud(t)
	c.registerL3("net1")
	outside, _ := c.outside()
	n, _, _ := c.behind(alice, outside, "10.0.0.0/24")
	f := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID})
	var vms []*neutrino.Port
	for range 64 {
		vms = append(vms, c.port(alice, neutrino.Port{NetworkID: n.ID}))
	}
	if got := together(64, func(i int) error { return c.try(alice, associateWith(f.ID, vms[i].ID)) }); got[""] != 64 {
		t.Errorf("results %v", got)
	}
	if now := c.storedFloating(f.ID); now.RevisionNumber != 65 || now.PortID == "" {
		t.Errorf("now %+v", now)
	}
	// One port, many floating IPs: one of them gets it.
	var list []*neutrino.FloatingIP
	for range 8 {
		list = append(list, c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID}))
	}
	fresh := c.port(alice, neutrino.Port{NetworkID: n.ID})
	got := together(8, func(i int) error { return c.try(alice, associateWith(list[i].ID, fresh.ID)) })
	if got[""] != 1 || got["FloatingIPPortAlreadyAssociated"] != 7 {
		t.Errorf("results %v", got)
	}
}

func TestManyAtOnceForOneGatewayAddress(t *testing.T) {
	c := newCloud(t)
	outside, _ := c.outside()
	got := together(64, func(int) error {
		return c.try(admin, func(tx *Tx) error {
			g := &neutrino.Gateway{NetworkID: outside.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("203.0.113.9")}}}
			_, err := CreateRouter(tx, neutrino.Router{Gateway: g}, nil)
			return err
		})
	})
	if got[""] != 1 || got["IpAddressAlreadyAllocated"] != 63 || len(c.portsOf(outside)) != 1 {
		t.Errorf("results %v", got)
	}
	s := c.subnet(alice, c.network(alice, neutrino.Network{}), "10.0.0.0/24")
	r := c.router(alice, nil)
	got = together(16, func(int) error { return c.try(alice, addSubnet(r.ID, s.ID)) })
	if got[""] != 1 || got["BadRequest"] != 15 {
		t.Errorf("results %v", got)
	}
}

// TestRoutingAtOnce lets everything about one external network and a few
// routers meet; the audit at the end finds whatever is left dangling.
func TestRoutingAtOnce(t *testing.T) {
	c := newCloud(t)
	c.registerL3("h1", "h2")
	outside, _ := c.outside()

	var subnets, routers, ports, fips []neutrino.ID
	for i := range 3 {
		n := c.network(alice, neutrino.Network{})
		subnets = append(subnets, c.subnet(alice, n, []string{"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"}[i], withDHCP).ID)
		routers = append(routers, c.router(alice, nil).ID)
		fips = append(fips, c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID}).ID)
		for range 2 {
			ports = append(ports, c.port(alice, neutrino.Port{NetworkID: n.ID}).ID)
		}
	}
	pick := func(list []neutrino.ID) neutrino.ID { return list[rand.IntN(len(list))] }
	host := func() string { return []string{"h1", "h2"}[rand.IntN(2)] }
	actions := []func(*Tx) error{
		func(tx *Tx) error { return addSubnet(pick(routers), pick(subnets))(tx) },
		func(tx *Tx) error { return addSubnet(pick(routers), pick(subnets))(tx) },
		func(tx *Tx) error { return removeSubnet(pick(routers), pick(subnets))(tx) },
		func(tx *Tx) error {
			return updateRouter(pick(routers), func(r *neutrino.Router) { r.Gateway = &neutrino.Gateway{NetworkID: outside.ID} }, "external_gateway_info")(tx)
		},
		func(tx *Tx) error {
			return updateRouter(pick(routers), func(r *neutrino.Router) { r.Gateway = nil }, "external_gateway_info")(tx)
		},
		func(tx *Tx) error { return associateWith(pick(fips), pick(ports))(tx) },
		func(tx *Tx) error { return associateWith(pick(fips), pick(ports))(tx) },
		func(tx *Tx) error { return associateWith(pick(fips), "")(tx) },
		func(tx *Tx) error {
			p, ok := store.Peek(tx.Tx, store.Ports, pick(ports))
			if !ok {
				return nil
			}
			return createForwarding(pick(fips), forwardTo(p, 1+rand.IntN(3), 1+rand.IntN(3)))(tx)
		},
		func(tx *Tx) error {
			for p := range store.All(tx.Tx, store.PortForwardings) {
				return DeletePortForwarding(tx, p.FloatingIPID, p.ID)
			}
			return nil
		},
		func(tx *Tx) error {
			return RemoveRouterFromL3Agent(tx, agentID(neutrino.AgentL3, host()), pick(routers))
		},
		func(tx *Tx) error { return AddRouterToL3Agent(tx, agentID(neutrino.AgentL3, host()), pick(routers)) },
		func(tx *Tx) error { return Heartbeat(tx, host()) },
		func(tx *Tx) error {
			return Report(tx, neutrino.Report{Host: host()}, func(neutrino.ID) bool { return true })
		},
		func(tx *Tx) error {
			if rand.IntN(20) == 0 {
				return DeletePort(tx, pick(ports))
			}
			return updatePort(pick(ports), func(p *neutrino.Port) { p.FixedIPs = []neutrino.FixedIP{{SubnetID: p.FixedIPs[0].SubnetID}} }, nil, "fixed_ips")(tx)
		},
	}
	got := together(16, func(int) error {
		for range 120 {
			err := c.try(admin, func(tx *Tx) error { return actions[rand.IntN(len(actions))](tx) })
			if err != nil && neutrino.AsError(err).Code == neutrino.Internal {
				return err
			}
		}
		return nil
	})
	if got[""] != 16 {
		t.Errorf("results %v", got)
	}
}
