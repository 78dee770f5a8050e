package view_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
	"neutrino/view"
)

func openDB(ctx context.Context, t interface{ Fatalf(string, ...any) }) (*store.DB, func()) {
	e, err := sqlite.Open(ctx, sqlite.Options{Path: sqlite.Memory})
	if err != nil {
		t.Fatalf("open engine: %v", err)
	}
	db, err := store.Open(ctx, e)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	return db, func() { db.Close(); e.Close() }
}

var equal = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

var hosts = []string{"c1", "c2", "c3"}

func pick[T any](t *rapid.T, label string, from []T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

func ids(kind string, n int) []neutrino.ID {
	var out []neutrino.ID
	for i := range n {
		out = append(out, neutrino.ID(fmt.Sprintf("%s%d", kind, i)))
	}
	return out
}

var (
	networkIDs = ids("n", 3)
	groupIDs   = ids("g", 3)
	portIDs    = ids("p", 6)
	ruleIDs    = ids("r", 4)
	routerIDs  = ids("router", 2)
	floatIDs   = ids("f", 3)
	forwardIDs = ids("pf", 3)
	poolIDs    = ids("pool", 2)
	scopeIDs   = ids("scope", 2)
	labelIDs   = ids("label", 2)
)

// writes are the kinds of write that a history is made of. They know nothing
// of what intent would refuse: the view must be right for any content.
var writes = []func(*rapid.T, *store.Tx){
	func(t *rapid.T, tx *store.Tx) {
		id := pick(t, "network", networkIDs)
		if rapid.Bool().Draw(t, "delete") {
			store.Delete(tx, store.Networks, id)
			return
		}
		store.Put(tx, store.Networks, &neutrino.Network{ID: id, Name: pick(t, "name", []string{"a", "b"}),
			MTU: pick(t, "mtu", []int{1400, 1500}), NetworkType: neutrino.GRE, Standard: neutrino.Standard{UpdatedAt: time.Unix(5, 0)}})
	},
	func(t *rapid.T, tx *store.Tx) {
		store.Put(tx, store.Subnets, &neutrino.Subnet{ID: "s" + pick(t, "subnet", networkIDs), NetworkID: pick(t, "network", networkIDs),
			CIDR: netip.MustParsePrefix("10.1.0.0/24"), EnableDHCP: rapid.Bool().Draw(t, "dhcp"),
			IPVersion: pick(t, "version", []int{4, 6}), SubnetPoolID: pick(t, "pool", append(poolIDs, ""))})
	},
	putPort, putPort, putPort,
	func(t *rapid.T, tx *store.Tx) { store.Delete(tx, store.Ports, pick(t, "port", portIDs)) },
	func(t *rapid.T, tx *store.Tx) {
		id := pick(t, "group", groupIDs)
		if rapid.Bool().Draw(t, "delete") {
			store.Delete(tx, store.SecurityGroups, id)
			return
		}
		store.Put(tx, store.SecurityGroups, &neutrino.SecurityGroup{ID: id, Stateful: rapid.Bool().Draw(t, "stateful")})
	},
	func(t *rapid.T, tx *store.Tx) {
		id := pick(t, "rule", ruleIDs)
		if rapid.Bool().Draw(t, "delete") {
			store.Delete(tx, store.SecurityGroupRules, id)
			return
		}
		one := 1
		store.Put(tx, store.SecurityGroupRules, &neutrino.SecurityGroupRule{ID: id, SecurityGroupID: pick(t, "group", groupIDs),
			RemoteGroupID: pick(t, "remote", append(groupIDs, "")), PortRangeMin: &one})
	},
	func(t *rapid.T, tx *store.Tx) {
		h := &neutrino.HostNetwork{Host: pick(t, "host", hosts), NetworkID: pick(t, "network", networkIDs), LocalVLAN: 7}
		if rapid.Bool().Draw(t, "delete") {
			store.Delete(tx, store.HostNetworks, store.HostNetworkID(h.Host, h.NetworkID))
			return
		}
		store.Put(tx, store.HostNetworks, h)
	},
	func(t *rapid.T, tx *store.Tx) {
		b := &neutrino.DHCPBinding{Host: pick(t, "host", hosts), NetworkID: pick(t, "network", networkIDs)}
		if rapid.Bool().Draw(t, "delete") {
			store.Delete(tx, store.DHCPBindings, store.DHCPBindingID(b.NetworkID, b.Host))
			return
		}
		store.Put(tx, store.DHCPBindings, b)
	},
	func(t *rapid.T, tx *store.Tx) {
		h := &neutrino.Host{Name: pick(t, "host", hosts)}
		h.TunnelIP = pick(t, "ip", []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), {}})
		store.Put(tx, store.Hosts, h)
	},
	putRouter, bindRouter, putFloatingIP, putForwarding, describePort, putPool, putScope,
	putLabel, putMeteringRule,
}

func putPool(t *rapid.T, tx *store.Tx) {
	p := &neutrino.SubnetPool{ID: pick(t, "pool", poolIDs), AddressScopeID: pick(t, "scope", append(scopeIDs, "")),
		Name: pick(t, "name", []string{"a", "b"})}
	if rapid.Bool().Draw(t, "delete") {
		store.Delete(tx, store.SubnetPools, p.ID)
		return
	}
	store.Put(tx, store.SubnetPools, p)
}

func putLabel(t *rapid.T, tx *store.Tx) {
	l := &neutrino.MeteringLabel{ID: pick(t, "label", labelIDs), ProjectID: pick(t, "project", []string{"red", "blue"}),
		Shared: rapid.Bool().Draw(t, "shared"), Name: pick(t, "name", []string{"a", "b"})}
	if rapid.Bool().Draw(t, "delete") {
		store.Delete(tx, store.MeteringLabels, l.ID)
		return
	}
	store.Put(tx, store.MeteringLabels, l)
}

func putMeteringRule(t *rapid.T, tx *store.Tx) {
	r := &neutrino.MeteringLabelRule{ID: pick(t, "rule", ruleIDs), MeteringLabelID: pick(t, "label", labelIDs),
		Excluded: rapid.Bool().Draw(t, "excluded"), ProjectID: pick(t, "project", []string{"red", "blue"})}
	if rapid.Bool().Draw(t, "delete") {
		store.Delete(tx, store.MeteringLabelRules, r.ID)
		return
	}
	store.Put(tx, store.MeteringLabelRules, r)
}

func putScope(t *rapid.T, tx *store.Tx) {
	a := &neutrino.HostScope{ScopeID: pick(t, "scope", scopeIDs), Mark: pick(t, "mark", []uint16{1025, 1026}),
		Host: pick(t, "host", hosts)}
	if rapid.Bool().Draw(t, "delete") {
		store.Delete(tx, store.HostScopes, store.HostScopeID(a.Host, a.ScopeID))
		return
	}
	store.Put(tx, store.HostScopes, a)
}

// describePort changes what is said of an instance, and nothing else.
func describePort(t *rapid.T, tx *store.Tx) {
	if old, ok := store.Get(tx, store.Ports, pick(t, "port", portIDs)); ok {
		p := *old
		p.Name, p.DeviceID = pick(t, "name", []string{"a", "b"}), pick(t, "device", []string{"i1", "router0"})
		store.Put(tx, store.Ports, &p)
	}
}

func putRouter(t *rapid.T, tx *store.Tx) {
	r := &neutrino.Router{ID: pick(t, "router", routerIDs), Name: pick(t, "name", []string{"a", "b"}), AdminStateUp: rapid.Bool().Draw(t, "up"),
		ProjectID: pick(t, "project", []string{"red", "blue"})}
	if rapid.Bool().Draw(t, "delete") {
		store.Delete(tx, store.Routers, r.ID)
		return
	}
	if rapid.Bool().Draw(t, "gateway") {
		r.Gateway = &neutrino.Gateway{NetworkID: pick(t, "network", networkIDs), EnableSNAT: rapid.Bool().Draw(t, "snat")}
		r.GatewayPortID = pick(t, "port", portIDs)
	}
	store.Put(tx, store.Routers, r)
}

func bindRouter(t *rapid.T, tx *store.Tx) {
	b := &neutrino.RouterBinding{RouterID: pick(t, "router", routerIDs), Host: pick(t, "host", hosts)}
	if rapid.Bool().Draw(t, "delete") {
		store.Delete(tx, store.RouterBindings, b.RouterID)
		return
	}
	store.Put(tx, store.RouterBindings, b)
}

func putFloatingIP(t *rapid.T, tx *store.Tx) {
	f := &neutrino.FloatingIP{ID: pick(t, "floatingip", floatIDs), RouterID: pick(t, "router", append(routerIDs, "")),
		PortID: pick(t, "port", append(portIDs, "")), Status: pick(t, "status", []string{neutrino.FloatingIPActive, neutrino.FloatingIPDown}),
		FloatingIPAddress: netip.AddrFrom4([4]byte{203, 0, 113, pick(t, "address", []byte{1, 2})})}
	if rapid.Bool().Draw(t, "delete") {
		store.Delete(tx, store.FloatingIPs, f.ID)
		return
	}
	store.Put(tx, store.FloatingIPs, f)
}

func putForwarding(t *rapid.T, tx *store.Tx) {
	port := pick(t, "external", []int{80, 81})
	f := &neutrino.PortForwarding{ID: pick(t, "forwarding", forwardIDs), FloatingIPID: pick(t, "floatingip", floatIDs),
		Description: pick(t, "description", []string{"a", "b"}), ExternalPort: &port}
	if rapid.Bool().Draw(t, "delete") {
		store.Delete(tx, store.PortForwardings, f.ID)
		return
	}
	store.Put(tx, store.PortForwardings, f)
}

func putPort(t *rapid.T, tx *store.Tx) {
	p := &neutrino.Port{
		ID: pick(t, "port", portIDs), NetworkID: pick(t, "network", networkIDs),
		Status:      pick(t, "status", []neutrino.PortStatus{neutrino.PortDown, neutrino.PortActive}),
		HostID:      pick(t, "host", append(hosts, "")),
		VIFType:     pick(t, "vif", []string{neutrino.VIFOVS, neutrino.VIFOVS, neutrino.VIFBindingFailed}),
		MAC:         neutrino.MAC{2, 0, 0, 0, 0, pick(t, "mac", []byte{1, 2})},
		DeviceOwner: pick(t, "owner", []string{"compute:nova", neutrino.OwnerRouter, neutrino.OwnerGateway}),
		DeviceID:    pick(t, "device", []string{"i1", "router0"}), Name: pick(t, "name", []string{"a", "b"}),
		Profile: pick(t, "profile", []neutrino.Opaque{"{}", `{"user_data":"x"}`}),
	}
	for _, ip := range []string{"10.1.0.2", "10.1.0.3", "2001:db8::2"} {
		if rapid.Bool().Draw(t, ip) {
			p.FixedIPs = append(p.FixedIPs, neutrino.FixedIP{SubnetID: "sn0", IPAddress: netip.MustParseAddr(ip)})
		}
	}
	if rapid.Bool().Draw(t, "pair") {
		p.AllowedAddressPairs = []neutrino.AddressPair{{IPAddress: netip.MustParsePrefix("10.9.0.7/24")}}
	}
	for _, g := range groupIDs {
		if rapid.Bool().Draw(t, string(g)) {
			p.SecurityGroups = append(p.SecurityGroups, g)
		}
	}
	for _, h := range hosts {
		if h != p.HostID && rapid.Bool().Draw(t, "standby") {
			p.Standby = append(p.Standby, neutrino.PortBinding{Host: h, VIFType: neutrino.VIFOVS, CTZone: pick(t, "zone", []uint16{4097, 4098})})
		}
	}
	store.Put(tx, store.Ports, p)
}

// Over any history: the view of a host that a batch does not touch stays as it
// is, and deltas applied to what a host held are the view made afresh.
func TestUntouchedHostsKeepTheirViewAndDeltasEqualTheViewMadeAfresh(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		db, closeDB := openDB(ctx, rt)
		defer closeDB()
		made, held := map[string]*view.Host{}, map[string]*view.Host{}
		for _, h := range hosts {
			made[h], held[h] = view.New(h), view.New(h)
		}
		for range rapid.IntRange(5, 25).Draw(rt, "transactions") {
			from := db.Snapshot().Revision() + 1
			rev := transact(ctx, rt, db)
			if rev < from {
				continue
			}
			touched := view.Touched(db.Snapshot(), changesOf(ctx, db, rev))
			for _, name := range hosts {
				now := view.For(db.Snapshot(), name)
				d := view.Diff(made[name], now)
				if !touched[name] && !d.Empty() {
					rt.Fatalf("host %s is not touched, but its view changed: %+v", name, d)
				}
				next, err := view.Apply(held[name], d)
				if err != nil {
					rt.Fatalf("apply: %v", err)
				}
				if diff := cmp.Diff(now, next, equal); diff != "" {
					rt.Fatalf("deltas of %s do not equal the view made afresh:\n%s", name, diff)
				}
				if view.Digest(view.Rows(now)) != view.Digest(view.Rows(next)) {
					rt.Fatalf("digests of %s differ", name)
				}
				made[name], held[name] = now, next
			}
		}
	})
}

// transact runs the same drawn writes however often the store runs it.
func transact(ctx context.Context, rt *rapid.T, db *store.DB) store.Revision {
	n := rapid.IntRange(1, 3).Draw(rt, "writes")
	rev, err := db.Update(ctx, func(tx *store.Tx) error {
		for range n {
			pick(rt, "write", writes)(rt, tx)
		}
		return nil
	})
	if err != nil {
		rt.Fatalf("update: %v", err)
	}
	return rev
}

func changesOf(ctx context.Context, db *store.DB, rev store.Revision) []store.Change {
	for b := range db.Watch(ctx, rev) {
		return b.Changes
	}
	return nil
}

// cloud is a network with a subnet, on c1 with DHCP and on c2, and a port on each.
func cloud(t *testing.T) *store.DB {
	db, closeDB := openDB(t.Context(), t)
	t.Cleanup(closeDB)
	update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.Networks, &neutrino.Network{ID: "n", Name: "red", NetworkType: neutrino.GRE, SegmentationID: 2})
		store.Put(tx, store.Subnets, &neutrino.Subnet{ID: "s", NetworkID: "n", CIDR: netip.MustParsePrefix("10.1.0.0/24")})
		for i, h := range []string{"c1", "c2", "idle"} {
			host := &neutrino.Host{Name: h}
			host.TunnelIP = netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
			store.Put(tx, store.Hosts, host)
		}
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: "n", LocalVLAN: 1})
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c2", NetworkID: "n", LocalVLAN: 9})
		store.Put(tx, store.DHCPBindings, &neutrino.DHCPBinding{Host: "c1", NetworkID: "n"})
		store.Put(tx, store.SecurityGroups, &neutrino.SecurityGroup{ID: "g"})
		store.Put(tx, store.SecurityGroupRules, &neutrino.SecurityGroupRule{ID: "r", SecurityGroupID: "g", RemoteGroupID: "g"})
		store.Put(tx, store.SecurityGroupRules, &neutrino.SecurityGroupRule{ID: "r2", SecurityGroupID: "g", RemoteGroupID: "nobody"})
		store.Put(tx, store.Ports, instance("p1", "c1", 2))
		store.Put(tx, store.Ports, instance("p2", "c2", 3))
		store.Put(tx, store.Ports, instance("free", "", 4))
	})
	return db
}

func instance(id neutrino.ID, host string, n byte) *neutrino.Port {
	return &neutrino.Port{ID: id, NetworkID: "n", HostID: host, Name: string(id), Status: neutrino.PortDown,
		MAC: neutrino.MAC{2, 0, 0, 0, 0, n}, SecurityGroups: []neutrino.ID{"g"},
		FixedIPs: []neutrino.FixedIP{{SubnetID: "s", IPAddress: netip.AddrFrom4([4]byte{10, 1, 0, n})}}}
}

func update(t *testing.T, db *store.DB, f func(*store.Tx)) []store.Change {
	t.Helper()
	rev, err := db.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return changesOf(t.Context(), db, rev)
}

func TestAHostKnowsItsNetworksPortsNeighboursAndWhomItsGroupsLetIn(t *testing.T) {
	s := cloud(t).Snapshot()
	c1, c2 := view.For(s, "c1"), view.For(s, "c2")
	if n := c1.Networks["n"]; n.LocalVLAN != 1 || !n.DHCP || c2.Networks["n"].LocalVLAN != 9 || c2.Networks["n"].DHCP {
		t.Errorf("networks: %+v and %+v", c1.Networks, c2.Networks)
	}
	if nb := c1.Neighbours["p2"]; nb.Host != "c2" || nb.TunnelIP != netip.MustParseAddr("192.0.2.2") {
		t.Errorf("neighbour p2 of c1: %+v", nb)
	}
	if _, ok := c1.Neighbours["free"]; !ok {
		t.Error("the host that serves DHCP does not know the port that is bound nowhere")
	}
	if _, ok := c2.Neighbours["free"]; ok {
		t.Error("a host without DHCP knows the port that is bound nowhere")
	}
	if m := c2.Members["g"].Prefixes; fmt.Sprint(m) != "[10.1.0.2/32 10.1.0.3/32 10.1.0.4/32]" {
		t.Errorf("members %v", m)
	}
	if m, ok := c2.Members["nobody"]; !ok || len(m.Prefixes) != 0 {
		t.Errorf("a group that does not exist stands for %+v, %v", m, ok)
	}
	if c2.Ports["p2"].Name != "" || c1.Ports["p1"].Name != "p1" || c2.Ports["p2"].Status != "" {
		t.Errorf("port with name or status: %+v", c2.Ports["p2"])
	}
	if idle := view.For(s, "idle"); len(view.Rows(idle)) != 0 {
		t.Errorf("a host without ports knows %s", view.Text(idle))
	}
	if text := view.Text(c2); !strings.Contains(text, "\nport p2 {") || !strings.HasPrefix(text, "host c2\n") {
		t.Errorf("text:\n%s", text)
	}
}

func TestWhatNoPlanDependsOnTouchesNobody(t *testing.T) {
	db := cloud(t)
	changes := update(t, db, func(tx *store.Tx) {
		p := *instance("p1", "c1", 2)
		p.Status, p.Description = neutrino.PortActive, "other"
		p.Touch(time.Unix(9, 0))
		store.Put(tx, store.Ports, &p)
		store.Put(tx, store.Networks, &neutrino.Network{ID: "n", Name: "blue", NetworkType: neutrino.GRE, SegmentationID: 2})
		h := &neutrino.Host{Name: "c1"}
		h.TunnelIP, h.Zone = netip.MustParseAddr("192.0.2.1"), "elsewhere"
		store.Put(tx, store.Hosts, h)
	})
	if touched := view.Touched(db.Snapshot(), changes); len(touched) != 0 {
		t.Errorf("touched %v", touched)
	}
}

// c1 serves the network with DHCP, so it may be asked for metadata; c2 may not.
func TestTheNameOfAnInstanceIsNewsOnlyWhereMetadataIsServed(t *testing.T) {
	db := cloud(t)
	changes := update(t, db, func(tx *store.Tx) {
		p := *instance("p2", "c2", 3)
		p.Name, p.DeviceID, p.ProjectID, p.Profile = "web", "p2", "blue", `{"user_data":"x"}`
		store.Put(tx, store.Ports, &p)
	})
	if got := view.Touched(db.Snapshot(), changes); !got["c1"] {
		t.Errorf("touched %v", got)
	}
	nb := view.For(db.Snapshot(), "c1").Neighbours["p2"]
	if nb.Name != "web" || nb.DeviceID != "p2" || nb.ProjectID != "blue" || nb.Profile == "" {
		t.Errorf("c1 knows %+v", nb)
	}
	if p := view.For(db.Snapshot(), "c1").Ports["p1"]; p.Name != "p1" {
		t.Errorf("c1 knows its own port as %q", p.Name)
	}
	if nb := view.For(db.Snapshot(), "c2").Neighbours["p1"]; nb.Name != "" || nb.DeviceID != "" {
		t.Errorf("c2 knows %+v", nb)
	}
	changes = update(t, db, func(tx *store.Tx) {
		p := *instance("p2", "c2", 3)
		p.Name, p.DeviceID, p.ProjectID, p.Profile = "db", "p2", "blue", `{"user_data":"x"}`
		store.Put(tx, store.Ports, &p)
	})
	if got := view.Touched(db.Snapshot(), changes); !got["c1"] || len(got) != 1 {
		t.Errorf("a new name touched %v, want c1 alone", got)
	}
}

// The router's host knows the router, its way out and what is in force on it;
// when it moves, the other host does, and the first forgets.
func TestARouterIsKnownWhereItRunsAndMovesAsAWhole(t *testing.T) {
	db := cloud(t)
	place := func(host string, vlan uint16) func(tx *store.Tx) {
		return func(tx *store.Tx) {
			store.Put(tx, store.RouterBindings, &neutrino.RouterBinding{RouterID: "r", Host: host})
			store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: host, NetworkID: "ext", LocalVLAN: vlan})
			store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: host, NetworkID: "n", LocalVLAN: vlan + 1})
			store.Put(tx, store.Ports, &neutrino.Port{ID: "qg", NetworkID: "ext", DeviceID: "r", DeviceOwner: neutrino.OwnerGateway, HostID: host})
			store.Put(tx, store.Ports, &neutrino.Port{ID: "qr", NetworkID: "n", DeviceID: "r", DeviceOwner: neutrino.OwnerRouter, HostID: host})
		}
	}
	update(t, db, func(tx *store.Tx) {
		one := 1
		store.Put(tx, store.Networks, &neutrino.Network{ID: "ext", External: true, NetworkType: neutrino.Flat})
		store.Put(tx, store.Subnets, &neutrino.Subnet{ID: "es", NetworkID: "ext", CIDR: netip.MustParsePrefix("203.0.113.0/24")})
		store.Put(tx, store.Routers, &neutrino.Router{ID: "r", Name: "gate", Gateway: &neutrino.Gateway{NetworkID: "ext"}, GatewayPortID: "qg"})
		store.Put(tx, store.FloatingIPs, &neutrino.FloatingIP{ID: "f", RouterID: "r", PortID: "p2"})
		store.Put(tx, store.FloatingIPs, &neutrino.FloatingIP{ID: "loose"})
		store.Put(tx, store.PortForwardings, &neutrino.PortForwarding{ID: "pf", FloatingIPID: "f", ExternalPort: &one, InternalPort: &one})
		place("idle", 3)(tx)
	})
	whole := func(name string) bool {
		h := view.For(db.Snapshot(), name)
		_, external := h.Subnets["es"]
		return len(h.Routers) == 1 && h.Routers["r"].Name == "" && len(h.FloatingIPs) == 1 && len(h.Forwardings) == 1 && external &&
			h.Ports["qg"].DeviceID == "r" && h.Neighbours["p2"].Name == "p2"
	}
	if !whole("idle") {
		t.Errorf("the router's host knows\n%s", view.Text(view.For(db.Snapshot(), "idle")))
	}
	changes := update(t, db, place("c2", 5))
	if got := view.Touched(db.Snapshot(), changes); !got["idle"] || !got["c2"] {
		t.Errorf("a move touched %v", got)
	}
	if h := view.For(db.Snapshot(), "idle"); len(h.Routers)+len(h.FloatingIPs)+len(h.Forwardings)+len(h.Ports) != 0 {
		t.Errorf("the host that lost the router knows\n%s", view.Text(h))
	}
	if h := view.For(db.Snapshot(), "c2"); len(h.Routers) != 1 || len(h.Forwardings) != 1 || h.Ports["p2"].Name != "p2" {
		t.Errorf("the host that got the router knows\n%s", view.Text(h))
	}
	changes = update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.FloatingIPs, &neutrino.FloatingIP{ID: "f", RouterID: "r", PortID: "p2", Status: neutrino.FloatingIPActive})
		store.Put(tx, store.Routers, &neutrino.Router{ID: "r", Name: "door", Gateway: &neutrino.Gateway{NetworkID: "ext"}, GatewayPortID: "qg"})
	})
	if got := view.Touched(db.Snapshot(), changes); len(got) != 0 {
		t.Errorf("a status and a name touched %v", got)
	}
}

func TestAPortIsNewsOnlyWhereItsNetworkIs(t *testing.T) {
	db := cloud(t)
	changes := update(t, db, func(tx *store.Tx) { store.Put(tx, store.Ports, instance("p9", "c2", 9)) })
	if got := view.Touched(db.Snapshot(), changes); !got["c1"] || !got["c2"] || len(got) != 2 {
		t.Errorf("touched %v", got)
	}
	changes = update(t, db, func(tx *store.Tx) {
		p := instance("p10", "", 10)
		p.SecurityGroups = nil
		store.Put(tx, store.Ports, p)
	})
	if got := view.Touched(db.Snapshot(), changes); !got["c1"] || len(got) != 1 {
		t.Errorf("a port bound nowhere touched %v, want the host with DHCP", got)
	}
}

// 500 ports on the host, 500 elsewhere, one network, one group of 1000.
func BenchmarkViewOf500Ports(b *testing.B) {
	ctx := context.Background()
	db, closeDB := openDB(ctx, b)
	defer closeDB()
	_, err := db.Update(ctx, func(tx *store.Tx) error {
		store.Put(tx, store.Networks, &neutrino.Network{ID: "n"})
		store.Put(tx, store.SecurityGroups, &neutrino.SecurityGroup{ID: "g"})
		store.Put(tx, store.SecurityGroupRules, &neutrino.SecurityGroupRule{ID: "r", SecurityGroupID: "g", RemoteGroupID: "g"})
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: "n", LocalVLAN: 1})
		for i := range 1000 {
			p := instance(neutrino.ID(fmt.Sprintf("port-%d", i)), []string{"c1", "c2"}[i%2], 0)
			p.FixedIPs[0].IPAddress = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			store.Put(tx, store.Ports, p)
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	old := view.For(db.Snapshot(), "c1")
	b.Run("for", func(b *testing.B) {
		for b.Loop() {
			view.For(db.Snapshot(), "c1")
		}
	})
	b.Run("diff", func(b *testing.B) {
		now := view.For(db.Snapshot(), "c1")
		for b.Loop() {
			view.Diff(old, now)
		}
	})
}
