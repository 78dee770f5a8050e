package intent

import (
	"slices"
	"testing"
	"time"

	"neutrino"
	"neutrino/store"
)

// A network that an admin takes from one host and gives to another has the same
// DHCP port there, with its MAC and addresses: the instances go on with it.
func TestADHCPPortIsKeptBetweenTwoHosts(t *testing.T) {
	c := newCloud(t)
	c.register("net1")
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.0.0.0/24", withDHCP)
	c.register("net2")
	agent := func(host string) neutrino.ID { return agentID(neutrino.AgentDHCP, host) }
	only := func() *neutrino.Port {
		t.Helper()
		all := c.portsOf(n)
		if len(all) != 1 {
			t.Fatalf("%d ports, want the one of DHCP", len(all))
		}
		return all[0]
	}
	before := only()
	c.do(admin, func(tx *Tx) error { return RemoveNetworkFromDHCPAgent(tx, agent("net1"), n.ID) })
	kept := only()
	if kept.ID != before.ID || kept.DeviceID != "reserved_dhcp_port" || kept.HostID != "" || kept.Status != neutrino.PortDown ||
		!slices.Equal(kept.FixedIPs, before.FixedIPs) {
		t.Errorf("removed: %+v", kept)
	}
	if c.vlan("net1", n) != 0 || store.Count(c.db.Snapshot(), store.DHCPBindingsByNetwork, string(n.ID)) != 0 {
		t.Error("net1 still has the network")
	}
	c.do(admin, func(tx *Tx) error { return AddNetworkToDHCPAgent(tx, agent("net2"), n.ID) })
	after := only()
	if after.ID != before.ID || after.MAC != before.MAC || !slices.Equal(after.FixedIPs, before.FixedIPs) || after.HostID != "net2" ||
		after.DeviceID != dhcpDeviceID("net2", n.ID) || c.vlan("net2", n) == 0 {
		t.Errorf("added: %+v, before: %+v", after, before)
	}
	// The scheduler takes it too, when nobody says where.
	c.do(admin, func(tx *Tx) error { return RemoveNetworkFromDHCPAgent(tx, agent("net2"), n.ID) })
	c.later(time.Second)
	c.do(admin, func(tx *Tx) error { return Heartbeat(tx, "net1") })
	if now := only(); now.ID != before.ID || now.HostID == "" || !slices.Equal(now.FixedIPs, before.FixedIPs) {
		t.Errorf("scheduled: %+v", now)
	}
	c.audit()
}

// Nothing is kept for a network that wants DHCP no more.
func TestAReservedDHCPPortGoesWithTheLastSubnetThatWantsIt(t *testing.T) {
	c := newCloud(t)
	c.register("net1")
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.0.0.0/24", withDHCP)
	c.do(admin, func(tx *Tx) error { return RemoveNetworkFromDHCPAgent(tx, agentID(neutrino.AgentDHCP, "net1"), n.ID) })
	c.do(alice, func(tx *Tx) error { return DeleteSubnet(tx, s.ID) })
	if all := c.portsOf(n); len(all) != 0 {
		t.Errorf("%d ports are left", len(all))
	}
	c.audit()
}
