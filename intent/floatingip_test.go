package intent

import (
	"math/rand/v2"
	"slices"
	"testing"

	"neutrino"
	"neutrino/intent/work"
)

func TestAFloatingIPStandsForOneAddress(t *testing.T) {
	c := newCloud(t)
	c.registerL3("net1")
	outside, _ := c.outside()
	n, s, r := c.behind(alice, outside, "10.0.0.0/24")
	vm := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.0.0.49")}}})
	f := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: vm.ID})
	p := c.storedPort(f.FloatingPortID)
	if f.Status != "DOWN" || f.RouterID != r.ID || f.FixedIPAddress != vm.FixedIPs[0].IPAddress || f.ProjectID != "alice" ||
		p.Status != "N/A" || p.ProjectID != "" || p.DeviceOwner != "network:floatingip" || p.DeviceID != string(f.ID) || p.HostID != "" ||
		len(p.FixedIPs) != 1 || p.FixedIPs[0].IPAddress != f.FloatingIPAddress {
		t.Errorf("made %+v on %+v", f, p)
	}
	other := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID})
	c.refused(alice, "FloatingIPPortAlreadyAssociated", associateWith(other.ID, vm.ID))
	c.refused(alice, "RouterInterfaceInUseByFloatingIP", removeSubnet(r.ID, s.ID))
	c.refused(alice, "RouterExternalGatewayInUseByFloatingIp", updateRouter(r.ID, func(r *neutrino.Router) { r.Gateway = nil }, "external_gateway_info"))
	c.refused(alice, "BadRequest", updatePort(vm.ID, func(p *neutrino.Port) { p.FixedIPs = nil }, nil, "fixed_ips"))
	c.refused(admin, "ServicePortInUse", func(tx *Tx) error { return DeletePort(tx, p.ID) })
	c.refused(admin, "IPAddressChangeNotAllowed", updatePort(p.ID, func(p *neutrino.Port) { p.FixedIPs = nil }, nil, "fixed_ips"))
	c.refused(bob, "FloatingIPNotFound", associateWith(f.ID, vm.ID))

	c.do(alice, updateFloating(f.ID, func(f *neutrino.FloatingIP) { f.Description = "web" }, "description"))
	if now := c.storedFloating(f.ID); now.PortID != vm.ID || now.RevisionNumber != 2 || now.Description != "web" {
		t.Errorf("a description changed more: %+v", now)
	}
	c.do(alice, updateFloating(f.ID, func(*neutrino.FloatingIP) {}))
	if now := c.storedFloating(f.ID); now.PortID != "" || now.RouterID != "" || now.FixedIPAddress.IsValid() {
		t.Errorf("{} keeps the association: %+v", now)
	}
	c.do(alice, associateWith(f.ID, vm.ID))
	two := c.port(alice, neutrino.Port{NetworkID: n.ID, FixedIPs: []neutrino.FixedIP{{IPAddress: ip("10.0.0.50")}, {IPAddress: ip("10.0.0.51")}}})
	c.refused(alice, "BadRequest", associateWith(f.ID, two.ID))
	at := func(port neutrino.ID, a string) func(*neutrino.FloatingIP) {
		return func(f *neutrino.FloatingIP) { f.PortID, f.FixedIPAddress = port, ip(a) }
	}
	c.do(alice, updateFloating(f.ID, at(two.ID, "10.0.0.50"), "port_id", "fixed_ip_address"))
	c.do(alice, updateFloating(f.ID, at(two.ID, "10.0.0.51"), "port_id", "fixed_ip_address"))
	c.do(alice, associateWith(f.ID, two.ID)) // the same port keeps its address
	c.refused(alice, "BadRequest", updateFloating(f.ID, at(two.ID, "10.0.0.50"), "fixed_ip_address"))
	c.refused(alice, "BadRequest", updateFloating(f.ID, at(two.ID, "10.0.0.52"), "port_id", "fixed_ip_address"))
	c.refused(alice, "BadRequest", updateFloating(f.ID, at(two.ID, "fd00::1"), "port_id", "fixed_ip_address"))
	if now := c.storedFloating(f.ID); now.FixedIPAddress != ip("10.0.0.51") {
		t.Errorf("moved to %+v", now)
	}
	c.do(alice, associateWith(other.ID, vm.ID))
	c.do(alice, func(tx *Tx) error { return DeletePort(tx, two.ID) })
	if now := c.storedFloating(f.ID); now.PortID != "" || now.RouterID != "" || now.Status != "DOWN" {
		t.Errorf("the port is gone, but %+v", now)
	}
	c.do(alice, func(tx *Tx) error { return DeleteFloatingIP(tx, other.ID) })
	c.do(alice, removeSubnet(r.ID, s.ID))
}

func TestFloatingIPsThatCannotBe(t *testing.T) {
	c := newCloud(t)
	outside, external := c.outside()
	manager := Caller{ProjectID: "alice", Roles: []string{"manager"}}
	nine := neutrino.FloatingIP{FloatingNetworkID: outside.ID, FloatingIPAddress: ip("203.0.113.9")}
	c.do(manager, createFloating(nine))
	c.refused(manager, "IpAddressAlreadyAllocated", createFloating(nine))
	n, _, _ := c.behind(alice, outside, "10.0.0.0/24")
	vm := c.port(alice, neutrino.Port{NetworkID: n.ID})
	lonely := c.network(alice, neutrino.Network{})
	c.subnet(alice, lonely, "10.5.0.0/24")
	far := c.port(alice, neutrino.Port{NetworkID: lonely.ID})
	bare := c.port(alice, neutrino.Port{NetworkID: n.ID}, "fixed_ips")
	empty := c.network(admin, neutrino.Network{External: true})
	in := func(network *neutrino.Network) neutrino.FloatingIP {
		return neutrino.FloatingIP{FloatingNetworkID: network.ID}
	}
	of := func(port *neutrino.Port) neutrino.FloatingIP {
		return neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: port.ID}
	}
	at := func(a string) neutrino.FloatingIP {
		return neutrino.FloatingIP{FloatingNetworkID: outside.ID, FloatingIPAddress: ip(a)}
	}
	c.refused(alice, "NetworkNotFound", createFloating(neutrino.FloatingIP{FloatingNetworkID: "nowhere"}))
	c.refused(alice, "BadRequest", createFloating(in(n)))
	c.refused(alice, "BadRequest", createFloating(in(empty)))
	c.refused(admin, "InvalidIpForNetwork", createFloating(at("203.0.114.9")))
	c.refused(admin, "BadRequest", createFloating(at("203.0.113.1")))
	c.refused(alice, "ExternalGatewayForFloatingIPNotFound", createFloating(of(far)))
	c.refused(alice, "BadRequest", createFloating(of(bare)))
	c.refused(alice, "PortNotFound", createFloating(neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: "nowhere"}))
	c.refused(bob, "PortNotFound", createFloating(of(vm)))
	c.refused(alice, "BadRequest", createFloating(neutrino.FloatingIP{FloatingNetworkID: outside.ID, FixedIPAddress: vm.FixedIPs[0].IPAddress}))
	subnet := func(id neutrino.ID) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := CreateFloatingIP(tx, in(outside), FloatingRequest{SubnetID: id}, nil)
			return err
		}
	}
	c.refused(admin, "SubnetNotFound", subnet("nowhere"))
	c.refused(admin, "InvalidInput", subnet(vm.FixedIPs[0].SubnetID))
	c.do(alice, subnet(external.ID))
	for range 10 {
		c.floating(alice, in(outside))
	}
	c.refused(alice, "IpAddressGenerationFailure", createFloating(in(outside)))
}

func TestAFloatingIPIsActiveWhenItsRoutersHostSaysSo(t *testing.T) {
	c := newCloud(t)
	c.registerL3("net1")
	outside, _ := c.outside()
	n, _, r := c.behind(alice, outside, "10.0.0.0/24")
	f := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: c.port(alice, neutrino.Port{NetworkID: n.ID}).ID})
	idle := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID})
	known := map[neutrino.ID]bool{}
	says := func(want string, pending ...string) {
		t.Helper()
		report := neutrino.Report{Host: "net1"}
		for _, object := range pending {
			report.Pending = append(report.Pending, neutrino.Pending{Object: object})
		}
		c.do(admin, func(tx *Tx) error { return Report(tx, report, func(id neutrino.ID) bool { return known[id] }) })
		if got := c.storedFloating(f.ID).Status; got != want {
			t.Errorf("status %s, want %s", got, want)
		}
	}
	says("DOWN")
	known[f.ID], known[idle.ID] = true, true
	says("DOWN", neutrino.FloatingIPObject(f.ID))
	says("ACTIVE")
	if c.storedFloating(f.ID).RevisionNumber != 1 || c.storedFloating(idle.ID).Status != "DOWN" {
		t.Error("a status changed a revision, or one that is associated with nothing")
	}
	says("DOWN", neutrino.PortObject(r.GatewayPortID))
	says("ACTIVE")
	c.do(alice, updateRouter(r.ID, func(r *neutrino.Router) { r.AdminStateUp = false }, "admin_state_up"))
	says("DOWN")
	c.do(alice, updateRouter(r.ID, func(r *neutrino.Router) { r.AdminStateUp = true }, "admin_state_up"))
	says("ACTIVE")
	c.do(alice, updateFloating(f.ID, func(f *neutrino.FloatingIP) { f.PortID = "" }, "port_id"))
	says("DOWN")
}

func forwardTo(p *neutrino.Port, external, internal int) neutrino.PortForwarding {
	return neutrino.PortForwarding{
		Protocol: "tcp", ExternalPort: number(external), InternalPort: number(internal),
		InternalPortID: p.ID, InternalIPAddress: p.FixedIPs[0].IPAddress,
	}
}

func createForwarding(fip neutrino.ID, p neutrino.PortForwarding) func(*Tx) error {
	return func(tx *Tx) error { _, err := CreatePortForwarding(tx, fip, p, nil); return err }
}

func (c *cloud) forwarding(who Caller, fip neutrino.ID, p neutrino.PortForwarding) (made *neutrino.PortForwarding) {
	c.t.Helper()
	c.do(who, func(tx *Tx) (err error) { made, err = CreatePortForwarding(tx, fip, p, nil); return })
	return made
}

func TestPortsOfAFloatingIPAreForwarded(t *testing.T) {
	c := newCloud(t)
	outside, _ := c.outside()
	n, s, r := c.behind(alice, outside, "10.0.0.0/24")
	vm, bound := c.port(alice, neutrino.Port{NetworkID: n.ID}), c.port(alice, neutrino.Port{NetworkID: n.ID})
	f, other := c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID}), c.floating(alice, neutrino.FloatingIP{FloatingNetworkID: outside.ID, PortID: bound.ID})
	web := c.forwarding(alice, f.ID, forwardTo(vm, 80, 8080))
	if now := c.storedFloating(f.ID); now.RouterID != r.ID || now.PortID != "" || now.RevisionNumber != 2 || c.storedPort(vm.ID).RevisionNumber != 2 {
		t.Errorf("now %+v", now)
	}
	c.refused(alice, "BadRequest", createForwarding(f.ID, forwardTo(vm, 80, 81)))
	c.refused(alice, "BadRequest", createForwarding(f.ID, forwardTo(vm, 81, 8080)))
	c.refused(alice, "PortHasBindingFloatingIP", createForwarding(f.ID, forwardTo(bound, 81, 81)))
	c.refused(alice, "FloatingIPPortAlreadyAssociated", createForwarding(other.ID, forwardTo(vm, 81, 81)))
	c.refused(alice, "FipInUseByPortForwarding", associateWith(f.ID, c.port(alice, neutrino.Port{NetworkID: n.ID}).ID))
	c.refused(alice, "PortHasPortForwarding", associateWith(other.ID, vm.ID))
	c.refused(alice, "RouterInterfaceInUseByFloatingIP", removeSubnet(r.ID, s.ID))
	c.refused(alice, "BadRequest", updatePort(vm.ID, func(p *neutrino.Port) { p.FixedIPs = nil }, nil, "fixed_ips"))
	wrong := func(change func(*neutrino.PortForwarding)) neutrino.PortForwarding {
		p := forwardTo(vm, 90, 90)
		change(&p)
		return p
	}
	c.refused(alice, "InvalidInput", createForwarding(f.ID, wrong(func(p *neutrino.PortForwarding) { p.Protocol = "icmp" })))
	c.refused(alice, "BadRequest", createForwarding(f.ID, wrong(func(p *neutrino.PortForwarding) { p.InternalPort = nil })))
	c.refused(alice, "InvalidInput", createForwarding(f.ID, wrong(func(p *neutrino.PortForwarding) { p.ExternalPort = number(0) })))
	c.refused(alice, "BadRequest", createForwarding(f.ID, wrong(func(p *neutrino.PortForwarding) { p.InternalIPAddress = ip("10.0.0.1") })))

	// Under another floating IP it does not exist, not even for an admin.
	rename := func(fip neutrino.ID) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdatePortForwarding(tx, fip, web.ID, func(p *neutrino.PortForwarding) error { p.ExternalPort = number(8000); return nil })
			return err
		}
	}
	c.refused(admin, "PortForwardingNotFound", rename(other.ID))
	c.refused(admin, "PortForwardingNotFound", func(tx *Tx) error { return DeletePortForwarding(tx, other.ID, web.ID) })
	c.refused(bob, "FloatingIPNotFound", rename(f.ID))
	c.do(alice, rename(f.ID))
	c.forwarding(alice, f.ID, forwardTo(vm, 80, 81))
	if snap := c.db.Snapshot(); work.VisiblePortForwarding(bob, snap, web) || !work.VisiblePortForwarding(alice, snap, web) {
		t.Error("visibility is wrong")
	}
	c.do(alice, func(tx *Tx) error { return DeletePortForwarding(tx, f.ID, web.ID) })
	c.do(alice, func(tx *Tx) error { return DeletePort(tx, vm.ID) })
	if now := c.storedFloating(f.ID); now.RouterID != "" {
		t.Errorf("the last forwarding is gone, but %+v", now)
	}
	third := c.port(alice, neutrino.Port{NetworkID: n.ID})
	last := c.forwarding(alice, f.ID, forwardTo(third, 80, 81))
	remove := func(tx *Tx) error { return DeleteFloatingIP(tx, f.ID) }
	c.refused(alice, "FipInUseByPortForwarding", remove)
	c.do(alice, func(tx *Tx) error { return DeletePortForwarding(tx, f.ID, last.ID) })
	c.do(alice, remove)
}

// recited draws the bytes of a text first, and then at random.
type recited struct {
	bytes []byte
	rand.PCG
}

func (r *recited) Uint64() uint64 {
	if len(r.bytes) == 0 {
		return r.PCG.Uint64()
	}
	b := r.bytes[0]
	r.bytes = r.bytes[1:]
	return uint64(b) << 32 // of which rand.Rand takes the upper half for a Uint32
}

func TestPortNamesDoNotCollide(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	p := c.port(alice, neutrino.Port{NetworkID: n.ID})
	c.do(alice, func(tx *Tx) error {
		same, _ := neutrino.ParseUUID(p.ID)
		tx.Rand = rand.New(&recited{bytes: slices.Concat(same[:], same[:])})
		id, err := newPortID(tx)
		if err != nil || id[:portNameLength] == p.ID[:portNameLength] {
			t.Errorf("drew %s beside %s, %v", id, p.ID, err)
		}
		again, _ := neutrino.ParseUUID(id) // which no port has yet
		tx.Rand = rand.New(&recited{bytes: again[:]})
		if other, err := newPortID(tx); err != nil || other[:portNameLength] == id[:portNameLength] {
			t.Errorf("drew %s beside %s, %v", other, id, err)
		}
		return nil
	})
}
