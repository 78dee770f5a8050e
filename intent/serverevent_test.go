package intent

import (
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/intent/serverevent"
	"neutrino/intent/work"
	"neutrino/store"
)

// The stories of what Nova is told.

const instance = "7d6b5bd6-3f24-4c83-9d3e-4ac5ee6b5a1d"

func tellNova(c *Config) { c.TellNova = work.TellNova{StatusChanges: true, DataChanges: true} }

// told are the events that wait, as "port: topic name", in the order in which
// they were written down, with the names of the ports.
func (c *cloud) told(ports map[string]neutrino.ID) string {
	snap := c.db.Snapshot()
	waiting := slices.Collect(store.All(snap, store.ServerEvents))
	at := func(e *neutrino.ServerEvent) int64 { return store.ModRevision(snap, store.ServerEvents, e.ID()) }
	slices.SortStableFunc(waiting, func(a, b *neutrino.ServerEvent) int { return int(at(a) - at(b)) })
	var lines []string
	for _, e := range waiting {
		name := string(e.PortID)
		for n, id := range ports {
			if id == e.PortID {
				name = n
			}
		}
		lines = append(lines, name+": "+string(e.Topic)+" "+string(e.Name))
		if e.ServerID != instance {
			c.t.Errorf("event for server %q", e.ServerID)
		}
	}
	return strings.Join(lines, "\n")
}

// hears wants these events to wait, and has Nova acknowledge them.
func (c *cloud) hears(ports map[string]neutrino.ID, want ...string) {
	c.t.Helper()
	if got := c.told(ports); got != strings.Join(want, "\n") {
		c.t.Errorf("Nova is told\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	c.do(admin, func(tx *Tx) error { serverevent.Settle(tx, c.waiting()); return nil })
}

func (c *cloud) waiting() map[neutrino.ID]store.Revision {
	snap, all := c.db.Snapshot(), map[neutrino.ID]store.Revision{}
	for e := range store.All(snap, store.ServerEvents) {
		all[e.ID()] = store.ModRevision(snap, store.ServerEvents, e.ID())
	}
	return all
}

// reports is a host's report that all is well but for the ports.
func (c *cloud) reports(host string, pending ...neutrino.ID) {
	c.t.Helper()
	r := neutrino.Report{Host: host}
	for _, id := range pending {
		r.Pending = append(r.Pending, neutrino.Pending{Object: neutrino.PortObject(id), Kind: neutrino.Waiting})
	}
	c.do(admin, func(tx *Tx) error { return Report(tx, r, func(neutrino.ID) bool { return true }) })
}

func ofInstance(n *neutrino.Network) neutrino.Port {
	return neutrino.Port{NetworkID: n.ID, ProjectID: "alice", HostID: "compute1", DeviceOwner: "compute:nova", DeviceID: instance}
}

func TestNovaHearsOfAnInstancesPortFromItsBootToItsEnd(t *testing.T) {
	c := newCloud(t, tellNova)
	c.register("compute1")
	n := c.network(alice, neutrino.Network{})
	s := c.subnet(alice, n, "10.0.0.0/24")
	p := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.0.0.76")}}})
	ports := map[string]neutrino.ID{"p": p.ID}
	c.hears(ports)
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.DeviceID, p.DeviceOwner, p.HostID = instance, "compute:nova", "compute1" },
		"device_id", "device_owner", "binding:host_id")
	c.hears(ports, "p: data network-changed")
	c.reports("compute1", p.ID) // the interface is not there yet
	c.hears(ports)
	c.reports("compute1")
	c.hears(ports, "p: wiring network-vif-plugged")
	c.reports("compute1") // nothing new
	c.hears(ports)
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.FixedIPs = []neutrino.FixedIP{{SubnetID: s.ID, IPAddress: ip("10.0.0.77")}} }, "fixed_ips")
	c.hears(ports, "p: data network-changed")
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.SecurityGroups = nil }, "security_groups")
	c.hears(ports, "p: data network-changed")
	c.updatePort(admin, p.ID, func(*neutrino.Port) {}, "name") // says nothing new
	c.hears(ports)
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.AdminStateUp = false }, "admin_state_up")
	c.hears(ports, "p: data network-changed", "p: wiring network-vif-unplugged")
	c.do(admin, func(tx *Tx) error { return DeletePort(tx, p.ID) })
	c.hears(ports, "p: port network-vif-deleted")
}

func TestNovaHearsNothingOfOtherPorts(t *testing.T) {
	c := newCloud(t, tellNova)
	c.register("compute1")
	n := c.network(alice, neutrino.Network{})
	for _, of := range []neutrino.Port{
		{DeviceOwner: "compute:nova", DeviceID: "no-uuid"}, {DeviceOwner: "compute:nova"},
		{DeviceOwner: "baremetal:none", DeviceID: instance}, {DeviceID: instance}, {DeviceOwner: "network:dhcp", DeviceID: instance},
	} {
		of.NetworkID, of.HostID = n.ID, "compute1"
		p := c.port(admin, of)
		c.reports("compute1")
		c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.Name = "n" }, "name")
		c.do(admin, func(tx *Tx) error { return DeletePort(tx, p.ID) })
		c.hears(nil)
	}
}

func TestWithoutNovaNothingIsWrittenDown(t *testing.T) {
	for name, tell := range map[string]work.TellNova{"none": {}, "status": {StatusChanges: true}, "data": {DataChanges: true}} {
		c := newCloud(t, func(c *Config) { c.TellNova = tell })
		c.register("compute1", "compute2")
		n := c.network(alice, neutrino.Network{})
		p := c.port(admin, ofInstance(n))
		ports := map[string]neutrino.ID{"p": p.ID}
		c.do(admin, addBinding(p.ID, neutrino.PortBinding{Host: "compute2"}))
		c.reports("compute1")
		before := c.db.Snapshot().Revision()
		c.reports("compute2")
		if name == "none" && c.db.Snapshot().Revision() != before {
			t.Error("a host that a port may move to makes a write, and nobody is told")
		}
		c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.Name = "n" }, "name")
		want := map[string][]string{
			"status": {"p: wiring network-vif-plugged", "p: wiring/compute2 network-vif-plugged"}, "data": {"p: data network-changed"},
		}
		c.hears(ports, want[name]...)
		c.do(admin, func(tx *Tx) error { return DeletePort(tx, p.ID) })
		if name == "data" {
			c.hears(ports, "p: port network-vif-deleted")
		}
		c.hears(ports)
	}
}

func TestOfOneTopicTheLastWordCounts(t *testing.T) {
	c := newCloud(t, tellNova)
	c.register("compute1")
	n := c.network(alice, neutrino.Network{})
	p := c.port(admin, ofInstance(n))
	ports := map[string]neutrino.ID{"p": p.ID}
	c.reports("compute1")
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.Name = "a" }, "name")
	sent := c.waiting()
	c.reports("compute1", p.ID)
	c.reports("compute1")
	// Nova acknowledges what it was told before the port went and came again.
	c.do(admin, func(tx *Tx) error { serverevent.Settle(tx, sent); return nil })
	c.hears(ports, "p: wiring network-vif-plugged")
	c.reports("compute1", p.ID)
	c.updatePort(admin, p.ID, func(p *neutrino.Port) { p.Name = "b" }, "name")
	c.do(admin, func(tx *Tx) error { return DeletePort(tx, p.ID) })
	c.hears(ports, "p: port network-vif-deleted") // of what is gone there is nothing else to say
}

func TestNovaHearsOfFloatingIPs(t *testing.T) {
	c := newCloud(t, tellNova)
	c.registerL3("net1")
	c.register("compute1")
	outside, _ := c.outside()
	n, _, _ := c.behind(alice, outside, "10.0.0.0/24")
	a, b := c.port(admin, ofInstance(n)), c.port(admin, ofInstance(n))
	ports := map[string]neutrino.ID{"a": a.ID, "b": b.ID}
	both := []string{"a: data network-changed", "b: data network-changed"}
	if b.ID < a.ID {
		slices.Reverse(both)
	}
	f := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: a.ID})
	c.hears(ports, "a: data network-changed")
	c.do(alice, updateFloating(f.ID, func(f *neutrino.FloatingIP) { f.Description = "d" }, "description"))
	c.hears(ports)
	c.do(alice, associateWith(f.ID, b.ID))
	c.hears(ports, both...)
	c.do(alice, updateFloating(f.ID, func(*neutrino.FloatingIP) {}))
	c.hears(ports, "b: data network-changed")
	c.do(alice, associateWith(f.ID, a.ID))
	c.hears(ports, "a: data network-changed")
	c.do(alice, func(tx *Tx) error { return DeleteFloatingIP(tx, f.ID) })
	c.hears(ports, "a: data network-changed")
	c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: a.ID})
	c.hears(ports, "a: data network-changed")
	c.do(admin, func(tx *Tx) error { return DeletePort(tx, a.ID) })
	c.hears(ports, "a: port network-vif-deleted")
}

func TestNovaHearsWhenAnInstanceMayMove(t *testing.T) {
	c := newCloud(t, tellNova)
	c.register("compute1", "compute2")
	n := c.network(alice, neutrino.Network{})
	p := c.port(admin, ofInstance(n))
	ports := map[string]neutrino.ID{"p": p.ID}
	c.reports("compute1")
	c.hears(ports, "p: wiring network-vif-plugged")
	c.do(admin, addBinding(p.ID, neutrino.PortBinding{Host: "compute2"}))
	c.reports("compute2", p.ID)
	c.hears(ports)
	rev := c.storedPort(p.ID).RevisionNumber
	c.reports("compute2")
	c.reports("compute2")
	c.hears(ports, "p: wiring/compute2 network-vif-plugged")
	if now := c.storedPort(p.ID); now.RevisionNumber != rev || now.Status != neutrino.PortActive {
		t.Errorf("it is no change of the port: %+v", now)
	}
	c.do(admin, activate(p.ID, "compute2"))
	c.hears(ports, "p: wiring network-vif-unplugged")
	c.reports("compute1") // has the interface until Nova unplugs it
	c.hears(ports)
	c.reports("compute2")
	c.hears(ports, "p: wiring network-vif-plugged")
	c.do(admin, dropBinding(p.ID, "compute1"))
	c.hears(ports)
	// The way back is a new one.
	c.do(admin, addBinding(p.ID, neutrino.PortBinding{Host: "compute1"}))
	c.reports("compute1")
	c.hears(ports, "p: wiring/compute1 network-vif-plugged")
}
