package fuse_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"neutrino"
	"neutrino/plan"
	"neutrino/view"
	"neutrino/view/fuse"
)

// The first octets of IDs tell what they are of; device names are made of them.
func id(kind, n int) neutrino.ID {
	return neutrino.ID(fmt.Sprintf("%02x%04x00-0000-4000-8000-0000000000%02x", kind, n, n%256))
}

func networkID(n int) neutrino.ID { return id(0x10, n) }
func subnetID(n int) neutrino.ID  { return id(0x20, n) }
func portID(n int) neutrino.ID    { return id(0x30, n) }
func farID(n int) neutrino.ID     { return id(0x40, n) }
func routerID(n int) neutrino.ID  { return id(0x50, n) }
func floatID(n int) neutrino.ID   { return id(0x60, n) }

const group = neutrino.ID("70000000-0000-4000-8000-000000000000")

// start is any time.
func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// shape is how many of what a host has.
type shape struct{ networks, ports, far, routers, floating, rules int }

// cloud is a host with all that can serve on one.
func cloud(s shape) *view.Host {
	v := view.New("c1")
	v.Groups[group] = neutrino.SecurityGroup{ID: group, Stateful: true}
	members := view.Members{Group: group}
	for n := range s.rules {
		r := neutrino.SecurityGroupRule{ID: id(0x80, n), SecurityGroupID: group, Direction: neutrino.Ingress, EtherType: neutrino.IPv4, RemoteGroupID: group}
		v.Rules[r.ID] = r
	}
	for n := range s.networks {
		v.Networks[networkID(n)] = view.Network{LocalVLAN: uint16(n + 1), DHCP: n%2 == 0, Network: neutrino.Network{
			ID: networkID(n), AdminStateUp: true, NetworkType: neutrino.GRE, SegmentationID: int64(n + 1), MTU: 1458}}
		v.Subnets[subnetID(n)] = neutrino.Subnet{ID: subnetID(n), NetworkID: networkID(n), IPVersion: 4, EnableDHCP: n%2 == 0,
			CIDR: netip.PrefixFrom(address(n, 0), 24), GatewayIP: address(n, 1)}
		if n%2 == 0 {
			p := port(id(0x90, n), n, 2, neutrino.OwnerDHCP)
			v.Ports[p.ID] = p
		}
	}
	if s.networks == 0 {
		return v
	}
	for n := range s.ports {
		p := port(portID(n), n%s.networks, 10+n, "compute:nova")
		p.CTZone, p.PortSecurityEnabled, p.SecurityGroups = uint16(4097+n), true, []neutrino.ID{group}
		v.Ports[p.ID] = p
		members.Prefixes = append(members.Prefixes, netip.PrefixFrom(p.FixedIPs[0].IPAddress, 32))
	}
	for n := range s.far {
		p := port(farID(n), n%s.networks, 100+n, "compute:nova")
		v.Neighbours[p.ID] = view.Neighbour{ID: p.ID, NetworkID: p.NetworkID, MAC: p.MAC, FixedIPs: p.FixedIPs,
			DeviceOwner: p.DeviceOwner, Host: "c2", TunnelIP: netip.MustParseAddr("192.0.2.2")}
		members.Prefixes = append(members.Prefixes, netip.PrefixFrom(p.FixedIPs[0].IPAddress, 32))
	}
	for n := range s.routers {
		v.Routers[routerID(n)] = neutrino.Router{ID: routerID(n), AdminStateUp: true}
		p := port(id(0xa0, n), n%s.networks, 200+n, neutrino.OwnerRouter)
		p.DeviceID = string(routerID(n))
		v.Ports[p.ID] = p
	}
	for n := range s.floating {
		if s.routers > 0 {
			f := neutrino.FloatingIP{ID: floatID(n), RouterID: routerID(n % s.routers), FloatingIPAddress: netip.AddrFrom4([4]byte{203, 0, 113, byte(n)})}
			v.FloatingIPs[f.ID] = f
		}
	}
	slices.SortFunc(members.Prefixes, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	v.Members[group] = members
	return v
}

func address(network, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 1, byte(network), byte(n)})
}

func port(id neutrino.ID, network, n int, owner string) neutrino.Port {
	return neutrino.Port{ID: id, NetworkID: networkID(network), AdminStateUp: true, HostID: "c1", VIFType: neutrino.VIFOVS, DeviceOwner: owner,
		MAC:      neutrino.MAC{0xfa, 0x16, 0x3e, byte(network), byte(n / 256), byte(n)},
		FixedIPs: []neutrino.FixedIP{{SubnetID: subnetID(network), IPAddress: address(network, n)}}}
}

func anyCloud(t *rapid.T) *view.Host {
	n := func(label string, most int) int { return rapid.IntRange(0, most).Draw(t, label) }
	return cloud(shape{n("networks", 6), n("ports", 20), n("far", 20), n("routers", 5), n("floating", 8), n("rules", 8)})
}

// without is a view with rows left out at random, as a store that has lost some
// would make it.
func without(t *rapid.T, v *view.Host) *view.Host {
	share := rapid.SampledFrom([]int{0, 5, 20, 40, 90, 100}).Draw(t, "percent")
	var d view.Delta
	for _, r := range view.Rows(v) {
		if rapid.IntRange(1, 100).Draw(t, "row") <= share {
			d.Drops = append(d.Drops, r.Key())
		}
	}
	out, err := view.Apply(v, d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func input(next *view.Host) fuse.Input {
	return fuse.Input{Next: next, Now: start(), Settings: fuse.Default}
}

func text(h *view.Host) string { return view.Text(h) }

// A view that only lacks rows is taken as it is, or changes nothing at all.
func TestAViewThatOnlyLacksRowsIsTakenOrChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := anyCloud(t)
		next := without(t, old)
		out := fuse.Step(fuse.State{InForce: old}, input(next))
		switch {
		case len(out.Held) == 0:
			if out.InForce != next || !out.Since.IsZero() {
				t.Fatal("nothing is held, and the view is not what is in force")
			}
		case text(out.InForce) != text(old):
			t.Fatalf("held, and yet something changed:\n%s", cmp.Diff(text(old), text(out.InForce)))
		}
	})
}

// However a store loses rows, at once or little by little, of what served no more
// than the share ends within the window, and what is left is whole.
func TestNoMoreThanTheShareEndsWithoutAProof(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := anyCloud(t)
		served := fuse.Serving(old)
		s, next := fuse.State{InForce: old}, old
		for range rapid.IntRange(1, 6).Draw(t, "views") {
			next = without(t, next)
			in := input(next)
			in.Now = in.Now.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "minutes")) * time.Minute)
			s = fuse.Step(s, in).State
		}
		left := map[view.Key]bool{}
		for _, k := range fuse.Serving(s.InForce) {
			left[k] = true
		}
		ended := 0
		for _, k := range served {
			if !left[k] {
				ended++
			}
		}
		if ended >= fuse.Default.Minimum && 100*ended > fuse.Default.Share*len(served) {
			t.Fatalf("%d of %d ended", ended, len(served))
		}
	})
}

// What is held has every flow, chain, set and device that it had, whatever else
// the new view says.
func TestWhatIsHeldIsPlannedWithItsFilters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := anyCloud(t)
		next := withNew(t, without(t, old))
		out := fuse.Step(fuse.State{InForce: old}, input(next))
		held := map[string]bool{}
		for _, k := range out.Held {
			if k.Kind == view.KindPort {
				held[neutrino.PortObject(neutrino.ID(k.ID))] = true
			}
		}
		was, is := plan.Host(old, settings()), plan.Host(out.InForce, settings())
		for k, c := range was.Chains {
			if held[c.Why.Object] && is.Chains[k].Rules != c.Rules {
				t.Fatalf("%s lost its chain %s:\n%s", c.Why.Object, k.Chain, cmp.Diff(c.Rules, is.Chains[k].Rules))
			}
		}
		for k, f := range was.Flows {
			if held[f.Why.Object] && is.Flows[k] != f {
				t.Fatalf("%s lost the flow %v", f.Why.Object, k)
			}
		}
		for k, v := range was.VIFs {
			if held[v.Why.Object] && is.VIFs[k] != v {
				t.Fatalf("%s is wired as %+v, it was %+v", v.Why.Object, is.VIFs[k], v)
			}
		}
		for k, z := range was.Zones {
			if held[z.Why.Object] && !cmp.Equal(is.Zones[k], z) {
				t.Fatalf("%s lost its conntrack zone", z.Why.Object)
			}
		}
		unique(t, out.InForce)
	})
}

// withNew adds objects, with numbers and addresses that the store may have given
// away because it forgot who has them.
func withNew(t *rapid.T, v *view.Host) *view.Host {
	c := *v
	c.Networks, c.Subnets, c.Ports, c.FloatingIPs = maps.Clone(v.Networks), maps.Clone(v.Subnets), maps.Clone(v.Ports), maps.Clone(v.FloatingIPs)
	vlans, zones := map[uint16]bool{}, map[uint16]bool{}
	for _, n := range v.Networks {
		vlans[n.LocalVLAN] = true
	}
	for _, p := range v.Ports {
		zones[p.CTZone] = true
	}
	for n := range rapid.IntRange(0, 3).Draw(t, "new networks") {
		row := cloud(shape{networks: 10}).Networks[networkID(6+n)]
		row.DHCP = false
		for row.LocalVLAN = 1; vlans[row.LocalVLAN]; row.LocalVLAN++ {
			continue
		}
		vlans[row.LocalVLAN] = true
		c.Networks[row.ID] = row
		s := neutrino.Subnet{ID: subnetID(6 + n), NetworkID: row.ID, IPVersion: 4, CIDR: netip.PrefixFrom(address(6+n, 0), 24)}
		c.Subnets[s.ID] = s
		p := port(portID(50+n), 6+n, 50, "compute:nova")
		for p.CTZone = 4097; zones[p.CTZone]; p.CTZone++ {
			continue
		}
		zones[p.CTZone] = true
		c.Ports[p.ID] = p
	}
	return &c
}

// unique fails where two objects have what only one may have.
func unique(t *rapid.T, v *view.Host) {
	taken := map[string]neutrino.ID{}
	claim := func(what string, id neutrino.ID) {
		if other, twice := taken[what]; twice && other != id {
			t.Fatalf("%s is that of %s and of %s", what, other, id)
		}
		taken[what] = id
	}
	for _, n := range v.Networks {
		claim(fmt.Sprint("VLAN ", n.LocalVLAN), n.ID)
	}
	for _, p := range v.Ports {
		if p.CTZone != 0 {
			claim(fmt.Sprint("zone ", p.CTZone), p.ID)
		}
		claim(fmt.Sprint("address ", p.FixedIPs[0].IPAddress), p.ID)
	}
	for _, n := range v.Neighbours {
		claim(fmt.Sprint("address ", n.FixedIPs[0].IPAddress), n.ID)
	}
}

func settings() plan.Config {
	return plan.Config{
		IntegrationBridge: "br-int", TunnelBridge: "br-tun", DatapathType: "netdev", LocalIP: netip.MustParseAddr("192.0.2.1"),
		WrapPrefix: "neutron", StatePath: "/var/lib/neutron", DHCP: plan.DHCPConfig{LeaseDuration: 86400, DNSDomain: "openstacklocal"},
	}
}

// A release, and a proof of everything, end in the plan of the new view; a proof
// of some ends these, and a second look at the same view changes nothing.
func TestReleaseAndProofsEndInTheNewView(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := anyCloud(t)
		next := without(t, old)
		first := fuse.Step(fuse.State{InForce: old}, input(next))
		again := fuse.Step(first.State, input(next))
		if text(again.InForce) != text(first.InForce) || !slices.Equal(again.Held, first.Held) || !slices.Equal(again.Ask, first.Ask) {
			t.Fatalf("a second look is another:\n%s", cmp.Diff(text(first.InForce), text(again.InForce)))
		}
		released := input(next)
		released.Released = map[view.Key]bool{}
		for _, k := range first.Held {
			released.Released[k] = true
		}
		if out := fuse.Step(first.State, released); out.InForce != next || len(out.Held) > 0 || !out.Since.IsZero() {
			t.Fatalf("released, and %v is held", out.Held)
		}
		proven := input(next)
		proven.Gone = map[view.Key]string{}
		for _, k := range first.Ask {
			proven.Gone[k] = "req-1"
		}
		if out := fuse.Step(first.State, proven); out.InForce != next || len(out.Held) > 0 {
			t.Fatalf("proven, and %v is held", out.Held)
		}
		some := input(next)
		some.Gone = map[view.Key]string{}
		for _, k := range first.Held {
			if rapid.Bool().Draw(t, "proven") {
				some.Gone[k] = "req-1"
			}
		}
		out := fuse.Step(first.State, some)
		for _, k := range first.Held {
			if _, gone := some.Gone[k]; gone == slices.Contains(out.Held, k) {
				t.Fatalf("%v: proven %v, held %v", k, gone, !gone)
			}
		}
	})
}

// The store has an object elsewhere, or has turned it off: that is a change.
func TestWhatMovedOrIsTurnedOffIsNotHeld(t *testing.T) {
	old := cloud(shape{networks: 2, ports: 10, far: 4, rules: 2})
	moved := view.New("c1")
	off := view.New("c1")
	for _, v := range []*view.Host{moved, off} {
		v.Networks, v.Subnets, v.Groups, v.Rules, v.Members, v.Neighbours = old.Networks, old.Subnets, old.Groups, old.Rules, old.Members, maps.Clone(old.Neighbours)
	}
	for id, p := range old.Ports {
		if p.DeviceOwner == neutrino.OwnerDHCP {
			moved.Ports[id], off.Ports[id] = p, p
			continue
		}
		moved.Neighbours[id] = view.Neighbour{ID: id, NetworkID: p.NetworkID, MAC: p.MAC, FixedIPs: p.FixedIPs, Host: "c3"}
		p.AdminStateUp = false
		off.Ports[id] = p
	}
	for name, v := range map[string]*view.Host{"moved": moved, "off": off} {
		if out := fuse.Step(fuse.State{InForce: old}, input(v)); out.InForce != v {
			t.Errorf("%s: %v is held", name, out.Held)
		}
	}
}

// Rules and neighbours that are lost while all ports are there end traffic too.
func TestLostRulesAndNeighboursAreHeld(t *testing.T) {
	old := cloud(shape{networks: 2, ports: 10, far: 10, rules: 6})
	for name, lose := range map[string]func(v *view.Host){
		"rules":      func(v *view.Host) { v.Rules = map[neutrino.ID]neutrino.SecurityGroupRule{} },
		"neighbours": func(v *view.Host) { v.Neighbours = map[neutrino.ID]view.Neighbour{} },
		"networks":   func(v *view.Host) { v.Networks = map[neutrino.ID]view.Network{} },
		"groups":     func(v *view.Host) { v.Groups = map[neutrino.ID]neutrino.SecurityGroup{} },
		"everything": func(v *view.Host) { *v = *view.New("c1") },
	} {
		next := *old
		lose(&next)
		if out := fuse.Step(fuse.State{InForce: old}, input(&next)); text(out.InForce) != text(old) {
			t.Errorf("%s: %d held\n%s", name, len(out.Held), cmp.Diff(text(old), text(out.InForce)))
		}
	}
}

// A network with one VLAN that the store has given to another waits, and says of
// whom it is.
func TestWhatIsNewWaitsForWhatIsHeld(t *testing.T) {
	old := cloud(shape{networks: 2, ports: 10, rules: 2})
	next := view.New("c1")
	next.Networks[networkID(5)] = view.Network{LocalVLAN: 1, Network: neutrino.Network{ID: networkID(5), AdminStateUp: true, NetworkType: neutrino.GRE, SegmentationID: 9}}
	out := fuse.Step(fuse.State{InForce: old}, input(next))
	if len(out.Waiting) != 1 || out.Waiting[0].Key.ID != string(networkID(5)) {
		t.Fatalf("waiting: %+v", out.Waiting)
	}
	t.Log(out.Waiting[0].Reason)
	if text(out.InForce) != text(old) {
		t.Error(cmp.Diff(text(old), text(out.InForce)))
	}
}

// What passed counts for an hour; with the fuse off, or nothing known, all passes.
func TestTheFuseHasItsLimits(t *testing.T) {
	old := cloud(shape{networks: 2, ports: 16, rules: 2})
	drop := func(v *view.Host, from, to int) *view.Host {
		c := *v
		c.Ports = maps.Clone(v.Ports)
		for n := from; n < to; n++ {
			delete(c.Ports, portID(n))
		}
		return &c
	}
	two := drop(old, 0, 2)
	first := fuse.Step(fuse.State{InForce: old}, input(two))
	six := drop(two, 2, 6)
	if len(first.Held) > 0 || len(fuse.Step(first.State, input(six)).Held) == 0 {
		t.Error("2 of 17 and then 4 are 6 of 17: that is more than 30 percent")
	}
	late := input(six)
	late.Now = start().Add(fuse.Window)
	if out := fuse.Step(first.State, late); len(out.Held) > 0 {
		t.Error("after an hour, 4 of 15 are less than 5")
	}
	off := input(view.New("c1"))
	off.Share = 0
	if out := fuse.Step(fuse.State{InForce: old}, off); out.InForce != off.Next {
		t.Error("the fuse is off and holds")
	}
	if out := fuse.Step(fuse.State{}, input(six)); out.InForce != six {
		t.Error("nothing is in force and is held")
	}
	strict := input(two)
	strict.Strict = true
	if out := fuse.Step(fuse.State{InForce: old}, strict); len(out.Held) != 2 {
		t.Errorf("strict: %v", out.Held)
	}
}
