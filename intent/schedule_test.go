package intent

import (
	"testing"
	"time"

	"neutrino"
	"neutrino/store"
)

func (c *cloud) reschedule() int {
	c.t.Helper()
	var r Rescheduled
	c.do(admin, func(tx *Tx) (err error) { r, err = Reschedule(tx, scheduleBatch); return })
	return r.Moved
}

func TestRoutersGoToTheHostWithTheFewest(t *testing.T) {
	c := newCloud(t)
	outside, _ := c.outside()
	_, _, waiting := c.behind(alice, outside, "10.0.0.0/24")
	if c.hostOf(waiting.ID) != "" {
		t.Error("a router has a host where there is none")
	}
	c.register("compute1")
	c.registerL3("net1", "net2")
	if c.hostOf(waiting.ID) != "net1" {
		t.Errorf("the waiting router went to %q", c.hostOf(waiting.ID))
	}
	_, _, second := c.behind(alice, outside, "10.0.0.0/24")
	if c.hostOf(second.ID) != "net2" {
		t.Errorf("the second router went to %q", c.hostOf(second.ID))
	}
	l3, _ := store.Peek(c.db.Snapshot(), store.Agents, agentID(neutrino.AgentL3, "net1"))
	meta, _ := store.Peek(c.db.Snapshot(), store.Agents, agentID(neutrino.AgentMetadata, "net1"))
	if l3.Binary != "neutron-l3-agent" || l3.Topic != "l3_agent" || l3.AvailabilityZone != "nova" || meta.AgentType != "Metadata agent" || meta.Topic != "N/A" {
		t.Errorf("agents %+v, %+v", l3, meta)
	}
}

func TestARouterGoesWhereItsExternalNetworkIs(t *testing.T) {
	c := newCloud(t)
	plainHost := neutrino.Registration{Host: "a", TunnelTypes: []string{"gre"}, Services: []string{neutrino.AgentOVS, neutrino.AgentL3}}
	c.do(admin, func(tx *Tx) error { return Register(tx, plainHost) })
	s := c.subnet(alice, c.network(alice, neutrino.Network{}), "10.0.0.0/24")
	r := c.router(alice, nil)
	c.do(alice, addSubnet(r.ID, s.ID))
	if c.hostOf(r.ID) != "a" {
		t.Fatalf("the router is on %q", c.hostOf(r.ID))
	}
	outside := c.network(admin, neutrino.Network{NetworkType: neutrino.GRE, External: true})
	c.registerL3("b")
	flat := c.network(admin, neutrino.Network{NetworkType: neutrino.Flat, PhysicalNetwork: physical, External: true})
	c.subnet(admin, flat, "198.51.100.0/24")
	gate := func(n *neutrino.Network) func(*Tx) error {
		return updateRouter(r.ID, func(r *neutrino.Router) { r.Gateway = &neutrino.Gateway{NetworkID: n.ID} }, "external_gateway_info")
	}
	c.do(alice, gate(outside))
	if c.hostOf(r.ID) != "a" {
		t.Errorf("moved to %q without need", c.hostOf(r.ID))
	}
	c.do(alice, gate(flat))
	if c.hostOf(r.ID) != "b" {
		t.Errorf("the router is on %q, which has no way out", c.hostOf(r.ID))
	}
}

func TestADeadHostLosesItsWorkOnce(t *testing.T) {
	c := newCloud(t)
	c.registerL3("net1")
	outside, _ := c.outside()
	n, _, r := c.behind(alice, outside, "10.0.0.0/24")
	f := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: c.port(alice, neutrino.Port{NetworkID: n.ID}).ID})
	c.subnet(alice, n, "10.9.0.0/24", withDHCP)
	c.do(admin, func(tx *Tx) error {
		return Report(tx, neutrino.Report{Host: "net1"}, func(neutrino.ID) bool { return true })
	})
	dhcp := func() *neutrino.Port {
		for _, p := range c.portsOf(n) {
			if p.DeviceOwner == neutrino.OwnerDHCP {
				return p
			}
		}
		t.Fatal("no DHCP port")
		return nil
	}
	before := dhcp()
	c.later(76 * time.Second)
	if got := c.reschedule(); got != 0 || c.hostOf(r.ID) != "net1" {
		t.Errorf("moved %d to nowhere", got)
	}
	c.registerL3("net2")
	if got := c.reschedule(); got != 2 || c.hostOf(r.ID) != "net2" {
		t.Errorf("moved %d, the router is on %q", got, c.hostOf(r.ID))
	}
	after := dhcp()
	if after.ID != before.ID || after.MAC != before.MAC || addresses(after)[0] != addresses(before)[0] || after.HostID != "net2" ||
		after.DeviceID != dhcpDeviceID("net2", n.ID) || after.VIFType != neutrino.VIFOVS || after.Status != neutrino.PortDown {
		t.Errorf("the DHCP port became %+v", after)
	}
	if now := c.storedFloating(f.ID); now.Status != "DOWN" || now.RevisionNumber != 1 {
		t.Errorf("the floating IP is %+v", now)
	}
	c.do(admin, func(tx *Tx) error { return Heartbeat(tx, "net1") })
	if got := c.reschedule(); got != 0 || c.hostOf(r.ID) != "net2" || c.vlan("net1", n) != 0 {
		t.Errorf("moved %d back", got)
	}
}

// Row 5 of issue 10: what a heartbeat wrote by the wall clock decides nothing.
func TestASetClockMovesNothingAndHidesNoDeath(t *testing.T) {
	for name, by := range map[string]time.Duration{"2 minutes forward": 2 * time.Minute, "1 hour back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			c.registerL3("net1", "net2", "net3")
			outside, _ := c.outside()
			_, _, r := c.behind(alice, outside, "10.0.0.0/24")
			beat := func(hosts ...string) {
				c.later(30 * time.Second)
				for _, h := range hosts {
					c.do(admin, func(tx *Tx) error { return Heartbeat(tx, h) })
				}
			}
			for range 4 {
				beat("net1", "net2", "net3")
			}
			if c.setClock(by); c.reschedule() != 0 || c.hostOf(r.ID) != "net1" {
				t.Errorf("the router is on %q", c.hostOf(r.ID))
			}
			beat("net2", "net3")
			beat("net2", "net3")
			if c.reschedule() != 0 {
				t.Error("moved within the down time")
			}
			if beat("net2", "net3"); c.reschedule() != 1 || c.hostOf(r.ID) == "net1" {
				t.Errorf("after the down time the router is on %q", c.hostOf(r.ID))
			}
		})
	}
}

func TestNothingMovesRightAfterTheServersRest(t *testing.T) {
	c := newCloud(t)
	c.registerL3("net1")
	outside, _ := c.outside()
	_, _, r := c.behind(alice, outside, "10.0.0.0/24")
	c.later(10 * time.Minute)
	c.restart()
	c.registerL3("net2") // net1 has not yet found its way back
	if got := c.reschedule(); got != 0 || c.hostOf(r.ID) != "net1" {
		t.Errorf("moved %d", got)
	}
	c.later(76 * time.Second)
	c.do(admin, func(tx *Tx) error { return Heartbeat(tx, "net2") })
	if got := c.reschedule(); got != 1 {
		t.Errorf("moved %d", got)
	}
}

func TestAHostWithMoreThanFitsIsEvacuatedInParts(t *testing.T) {
	c := newCloud(t, func(c *Config) { c.Quotas = nil })
	c.registerL3("net1")
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.0.0.0/16")
	const routers = scheduleBatch + 50
	for range routers {
		c.behindPort(s)
	}
	ran := func(host string) int { return store.Count(c.db.Snapshot(), store.RouterBindingsByHost, host) }
	if got := ran("net1"); got != routers {
		t.Fatalf("net1 runs %d routers", got)
	}
	c.registerL3("net2")
	for _, a := range []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentMetadata, neutrino.AgentL3} {
		if id := agentID(a, "net1"); c.has(id) {
			c.do(admin, func(tx *Tx) error { return DeleteAgent(tx, id) })
		}
	}
	rest := ran("net1")
	if rest == 0 || rest == routers {
		t.Fatalf("net1 still runs %d routers", rest)
	}
	moved := 0
	for step := c.reschedule(); step > 0; step = c.reschedule() {
		moved += step
	}
	if moved != rest || ran("net2") != routers {
		t.Errorf("moved %d of %d, net2 runs %d of %d", moved, rest, ran("net2"), routers)
	}
	if _, ok := store.Peek(c.db.Snapshot(), store.Hosts, "net1"); ok {
		t.Error("the empty host is still known")
	}
}

func (c *cloud) has(agent neutrino.ID) bool {
	_, ok := store.Peek(c.db.Snapshot(), store.Agents, agent)
	return ok
}

// behindPort makes a router with an interface of its own on the subnet.
func (c *cloud) behindPort(s *neutrino.Subnet) {
	c.t.Helper()
	p := c.port(alice, neutrino.Port{NetworkID: s.NetworkID})
	r := c.router(alice, nil)
	c.do(alice, addPortTo(r.ID, p.ID))
}

func TestAnAdminSchedulesByHand(t *testing.T) {
	c := newCloud(t)
	c.registerL3("net1", "net2")
	outside, _ := c.outside()
	n, _, r := c.behind(alice, outside, "10.0.0.0/24")
	c.subnet(alice, n, "10.9.0.0/24", withDHCP)
	agent := func(typ, host string) neutrino.ID { return agentID(typ, host) }
	router := func(f func(*Tx, neutrino.ID, neutrino.ID) error, host string) func(*Tx) error {
		return func(tx *Tx) error { return f(tx, agent(neutrino.AgentL3, host), r.ID) }
	}
	c.refused(alice, "AgentNotFound", router(AddRouterToL3Agent, "net2"))
	c.refused(admin, "RouterHostedByL3Agent", router(AddRouterToL3Agent, "net2"))
	c.refused(admin, "RouterNotHostedByL3Agent", router(RemoveRouterFromL3Agent, "net2"))
	c.refused(admin, "InvalidL3Agent", func(tx *Tx) error { return AddRouterToL3Agent(tx, agent(neutrino.AgentDHCP, "net2"), r.ID) })
	c.do(admin, router(AddRouterToL3Agent, "net1"))
	c.do(admin, router(RemoveRouterFromL3Agent, "net1"))
	if c.hostOf(r.ID) != "" || interfacesOf(c.db.Snapshot(), r.ID)[0].HostID != "" {
		t.Error("the router still has a host")
	}
	c.do(admin, router(AddRouterToL3Agent, "net2"))
	c.do(admin, func(tx *Tx) error { return DeleteAgent(tx, agent(neutrino.AgentL3, "net2")) })
	if c.hostOf(r.ID) != "net1" {
		t.Errorf("the router is on %q", c.hostOf(r.ID))
	}

	network := func(f func(*Tx, neutrino.ID, neutrino.ID) error, host string) func(*Tx) error {
		return func(tx *Tx) error { return f(tx, agent(neutrino.AgentDHCP, host), n.ID) }
	}
	served := func() int { return store.Count(c.db.Snapshot(), store.DHCPBindingsByNetwork, string(n.ID)) }
	c.refused(admin, "NetworkHostedByDHCPAgent", network(AddNetworkToDHCPAgent, "net1"))
	c.refused(admin, "NetworkNotHostedByDhcpAgent", network(RemoveNetworkFromDHCPAgent, "net2"))
	c.refused(admin, "InvalidDHCPAgent", func(tx *Tx) error { return AddNetworkToDHCPAgent(tx, agent(neutrino.AgentOVS, "net2"), n.ID) })
	c.do(admin, network(AddNetworkToDHCPAgent, "net2"))
	c.do(admin, network(RemoveNetworkFromDHCPAgent, "net1"))
	c.subnet(alice, n, "10.8.0.0/24", withDHCP)
	if got := served(); got != 1 || c.vlan("net2", n) == 0 {
		t.Errorf("%d hosts serve the network", got)
	}
	c.do(admin, network(RemoveNetworkFromDHCPAgent, "net2"))
	if got := served(); got != 0 {
		t.Errorf("%d hosts serve the network", got)
	}
}

func TestABindingThatFailedIsTriedAgain(t *testing.T) {
	c := newCloud(t)
	c.registerL3("net1")
	outside, _ := c.outside()
	n, _, r := c.behind(alice, outside, "10.0.0.0/24")
	c.later(76 * time.Second)
	s := c.subnet(alice, n, "10.1.0.0/24")
	c.do(alice, addSubnet(r.ID, s.ID))
	failed := func() (count int) {
		for _, p := range interfacesOf(c.db.Snapshot(), r.ID) {
			if p.VIFType == neutrino.VIFBindingFailed {
				count++
			}
		}
		return count
	}
	if failed() != 1 || c.hostOf(r.ID) != "net1" {
		t.Errorf("%d failed on %q", failed(), c.hostOf(r.ID))
	}
	c.do(admin, func(tx *Tx) error { return Heartbeat(tx, "net1") })
	if failed() != 0 {
		t.Error("the binding was not tried again")
	}
}
