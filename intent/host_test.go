package intent

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"neutrino"
	"neutrino/intent/liveness"
	"neutrino/intent/work"
	"neutrino/store"
)

func onHost(h string) func(*neutrino.Port) { return func(p *neutrino.Port) { p.HostID = h } }

func (c *cloud) vlan(host string, n *neutrino.Network) uint16 {
	row, ok := store.Peek(c.db.Snapshot(), store.HostNetworks, store.HostNetworkID(host, n.ID))
	if !ok {
		return 0
	}
	return row.LocalVLAN
}

func TestNameIDsAreThoseOfTheStandard(t *testing.T) {
	// RFC 9562, appendix A.4.
	if got := nameID("www.example.com"); got != "2ed6657d-e927-568b-95e1-2665a8aea6a2" {
		t.Errorf("got %s", got)
	}
	if got := dhcpDeviceID("www", "n"); got != dhcpDeviceID("www.example.com", "n") {
		t.Errorf("got %s", got)
	}
}

func TestABoundPortHasAVLANAndAZoneOnItsHost(t *testing.T) {
	c := newCloud(t)
	c.register("compute1", "compute2")
	blue, red := c.network(alice, neutrino.Network{}), c.network(alice, neutrino.Network{})
	p := c.port(admin, neutrino.Port{NetworkID: blue.ID, HostID: "compute1", ProjectID: "alice"})
	want := neutrino.VIFDetails{PortFilter: true, Connectivity: "l2", OVSHybridPlug: true, DatapathType: "netdev", BridgeName: "br-int"}
	if p.VIFType != neutrino.VIFOVS || p.VIFDetails != want || p.CTZone < 4097 || p.Profile != "{}" || p.VNICType != "normal" {
		t.Errorf("bound %+v", p)
	}
	q := c.port(admin, neutrino.Port{NetworkID: red.ID, HostID: "compute1"})
	if c.vlan("compute1", blue) != 1 || c.vlan("compute1", red) != 2 {
		t.Errorf("VLANs %d, %d", c.vlan("compute1", blue), c.vlan("compute1", red))
	}
	zone := p.CTZone
	if again := c.updatePort(alice, p.ID, func(p *neutrino.Port) { p.Name = "vm" }, "name"); again.CTZone != zone {
		t.Error("the zone changed with the name")
	}
	p = c.updatePort(admin, p.ID, onHost("compute2"), "binding:host_id")
	if c.vlan("compute1", blue) != 0 || c.vlan("compute2", blue) != 1 {
		t.Errorf("VLANs %d, %d", c.vlan("compute1", blue), c.vlan("compute2", blue))
	}
	p = c.updatePort(admin, p.ID, onHost(""), "binding:host_id")
	if p.VIFType != neutrino.VIFUnbound || p.CTZone != 0 || p.VIFDetails != (neutrino.VIFDetails{}) {
		t.Errorf("unbound %+v", p)
	}
	if c.updatePort(admin, p.ID, onHost("compute1"), "binding:host_id"); c.vlan("compute1", blue) != 1 {
		t.Error("the lowest free VLAN was not taken")
	}
	c.do(admin, func(tx *Tx) error { return DeletePort(tx, q.ID) })
	if c.vlan("compute1", red) != 0 {
		t.Error("the VLAN stays without ports")
	}
}

func TestBindingFailsWhereTheHostCannot(t *testing.T) {
	c := newCloud(t)
	c.register("compute1")
	n := c.network(alice, neutrino.Network{})
	odd := c.network(admin, neutrino.Network{NetworkType: neutrino.Geneve})
	failed := func(p neutrino.Port) *neutrino.Port {
		t.Helper()
		made := c.port(admin, p)
		if made.VIFType != neutrino.VIFBindingFailed || made.CTZone != 0 {
			t.Errorf("bound %+v", made)
		}
		return made
	}
	failed(neutrino.Port{NetworkID: n.ID, HostID: "nowhere"})
	failed(neutrino.Port{NetworkID: odd.ID, HostID: "compute1"})
	c.later(76 * time.Second)
	p := failed(neutrino.Port{NetworkID: n.ID, HostID: "compute1"})
	c.do(admin, func(tx *Tx) error { return Heartbeat(tx, "compute1") })
	if p := c.updatePort(admin, p.ID, onHost("compute1"), "binding:host_id"); p.VIFType != neutrino.VIFOVS {
		t.Errorf("a second try gives %s", p.VIFType)
	}
	c.refused(admin, "InvalidInput", create(neutrino.Port{NetworkID: n.ID, VNICType: "direct"}))
}

func TestDHCPFollowsTheSubnets(t *testing.T) {
	c := newCloud(t)
	c.register("net2", "net1.example.org")
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.1.0.0/24", withDHCP)
	ports := c.portsOf(n)
	if len(ports) != 1 {
		t.Fatalf("%d ports", len(ports))
	}
	p := ports[0]
	if p.DeviceOwner != "network:dhcp" || p.DeviceID != "dhcp"+string(nameID("net1"))+"-"+string(n.ID) || p.HostID != "net1.example.org" ||
		p.ProjectID != "alice" || p.PortSecurityEnabled || len(p.SecurityGroups) != 0 || p.Name != "" ||
		p.VIFType != neutrino.VIFOVS || !p.AdminStateUp || !slices.Equal(addresses(p), []string{"10.1.0.2"}) {
		t.Errorf("made %+v", p)
	}
	other := c.network(bob, neutrino.Network{})
	c.subnet(bob, other, "10.1.0.0/24", withDHCP)
	if h := c.portsOf(other)[0].HostID; h != "net2" {
		t.Errorf("the second network is on %s", h)
	}
	c.later(time.Second)
	c.subnet(alice, n, "10.2.0.0/24")
	c.later(time.Second)
	third := c.subnet(alice, n, "fd00::/64", slaac)
	want := []string{"10.1.0.2", p.MAC.EUI64(third.CIDR).String()}
	if got := addresses(c.storedPort(p.ID)); !slices.Equal(got, want) {
		t.Errorf("addresses %v, want %v", got, want)
	}
	enable := func(on bool) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdateSubnet(tx, s.ID, func(s *neutrino.Subnet) error { s.EnableDHCP = on; return nil }, fieldsOf("enable_dhcp"))
			return err
		}
	}
	c.do(alice, enable(false))
	if got := addresses(c.storedPort(p.ID)); !slices.Equal(got, want[1:]) {
		t.Errorf("addresses %v", got)
	}
	c.do(alice, func(tx *Tx) error { return DeleteSubnet(tx, third.ID) })
	if left := c.portsOf(n); len(left) != 0 || c.vlan("net1.example.org", n) != 0 {
		t.Errorf("left %v", left)
	}
	c.do(alice, enable(true))
	c.do(alice, func(tx *Tx) error { return DeletePort(tx, c.portsOf(n)[0].ID) })
	if again := c.portsOf(n); len(again) != 1 || !slices.Equal(addresses(again[0]), []string{"10.1.0.2"}) {
		t.Errorf("after its deletion: %v", again)
	}
}

func TestDHCPWaitsForAHostAndMovesWhenItsAgentIsDeleted(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.subnet(alice, n, "10.1.0.0/24", withDHCP)
	if got := c.portsOf(n); len(got) != 0 {
		t.Fatalf("ports without a host: %v", got)
	}
	c.register("net1")
	if got := c.portsOf(n); len(got) != 1 || got[0].HostID != "net1" {
		t.Fatalf("ports %v", got)
	}
	c.later(10 * time.Second)
	c.register("net1")
	if rev := c.storedPort(c.portsOf(n)[0].ID).RevisionNumber; rev != 1 {
		t.Errorf("a second registration makes revision %d", rev)
	}
	c.register("net2")
	id := agentID(neutrino.AgentDHCP, "net1")
	c.refused(alice, "AgentNotFound", func(tx *Tx) error { return DeleteAgent(tx, id) })
	c.do(admin, func(tx *Tx) error { return DeleteAgent(tx, id) })
	if got := c.portsOf(n); len(got) != 1 || got[0].HostID != "net2" {
		t.Errorf("ports %+v", got)
	}
	c.do(admin, func(tx *Tx) error { return DeleteAgent(tx, agentID(neutrino.AgentOVS, "net1")) })
	if _, ok := store.Peek(c.db.Snapshot(), store.Hosts, "net1"); ok {
		t.Error("the host is still known")
	}
	c.refused(admin, "AgentNotFound", func(tx *Tx) error { return Heartbeat(tx, "net1") })
}

func TestAgentsAppearUnderNeutronsNames(t *testing.T) {
	c := newCloud(t)
	c.register("net1")
	id := agentID(neutrino.AgentDHCP, "net1")
	c.do(admin, func(tx *Tx) error {
		_, err := UpdateAgent(tx, id, func(a *neutrino.Agent) error { a.AdminStateUp, a.Description = false, "drained"; return nil }, nil)
		return err
	})
	c.later(70 * time.Second)
	c.register("net1")
	snap := c.db.Snapshot()
	a, _ := store.Peek(snap, store.Agents, id)
	if a.AdminStateUp || a.Description != "drained" || a.Binary != "neutron-dhcp-agent" || a.Topic != "dhcp_agent" || a.AvailabilityZone != "nova" {
		t.Errorf("kept %+v", a)
	}
	ovs, _ := store.Peek(snap, store.Agents, agentID(neutrino.AgentOVS, "net1"))
	var config map[string]any
	if err := json.Unmarshal([]byte(ovs.Configurations), &config); err != nil || config["tunneling_ip"] != "192.0.2.1" || ovs.Topic != "N/A" {
		t.Errorf("%v: %+v", err, ovs)
	}
	if now := c.s.Judge().State("net1"); now != liveness.Alive {
		t.Errorf("the host is %v", now)
	}
	if work.VisibleAgent(alice, snap, ovs) || !work.VisibleAgent(admin, snap, ovs) {
		t.Error("visibility is wrong")
	}
	n := c.network(alice, neutrino.Network{})
	if c.subnet(alice, n, "10.0.0.0/24", withDHCP); len(c.portsOf(n)) != 0 {
		t.Error("a network went to a disabled agent")
	}
	for _, bad := range []string{"", "a/b", "a b", "a\nb"} {
		c.refused(admin, "InvalidInput", func(tx *Tx) error { return Register(tx, neutrino.Registration{Host: bad}) })
	}
	c.refused(admin, "InvalidInput", func(tx *Tx) error {
		return Register(tx, neutrino.Registration{Host: "h", Services: []string{"SNAT agent"}})
	})
}

func TestAPortIsActiveWhenItsHostSaysSo(t *testing.T) {
	c := newCloud(t)
	c.register("compute1")
	n := c.network(alice, neutrino.Network{})
	p := c.port(admin, neutrino.Port{NetworkID: n.ID, HostID: "compute1", ProjectID: "alice"})
	broken := c.port(admin, neutrino.Port{NetworkID: n.ID, HostID: "compute1"})
	newer := c.port(admin, neutrino.Port{NetworkID: n.ID, HostID: "compute1"})
	elsewhere := c.port(admin, neutrino.Port{NetworkID: n.ID})
	report := func(pending ...neutrino.Pending) {
		c.do(admin, func(tx *Tx) error {
			return Report(tx, neutrino.Report{Host: "compute1", Pending: pending}, func(id neutrino.ID) bool { return id != newer.ID })
		})
	}
	status := func(p *neutrino.Port, want neutrino.PortStatus) {
		t.Helper()
		if got := c.storedPort(p.ID); got.Status != want {
			t.Errorf("status %s, want %s", got.Status, want)
		}
	}
	trouble := neutrino.Pending{Object: neutrino.PortObject(broken.ID), Reason: "no device"}
	report(trouble)
	status(p, neutrino.PortActive)
	status(broken, neutrino.PortDown)
	status(newer, neutrino.PortDown)
	status(elsewhere, neutrino.PortDown)
	before := c.db.Snapshot().Revision()
	if report(trouble); c.db.Snapshot().Revision() != before {
		t.Error("a report without news wrote")
	}
	if c.storedPort(p.ID).RevisionNumber != 1 {
		t.Error("the status changed the port's revision")
	}
	report()
	status(broken, neutrino.PortActive)
	down := c.updatePort(alice, p.ID, func(p *neutrino.Port) { p.AdminStateUp = false }, "admin_state_up")
	if down.Status != neutrino.PortDown {
		t.Errorf("status %s", down.Status)
	}
	report()
	status(p, neutrino.PortDown)
	moved := c.updatePort(admin, broken.ID, onHost(""), "binding:host_id")
	if moved.Status != neutrino.PortDown {
		t.Errorf("status %s", moved.Status)
	}
}
