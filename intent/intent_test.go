package intent

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
	"neutrino/store/storetest"
)

// cloud is a service on a store in memory, with a clock that the test sets.
type cloud struct {
	t   testing.TB
	s   *Service
	db  *store.DB
	mu  sync.Mutex
	now time.Time
	ran time.Duration // by the monotonic clock
}

var (
	admin = Caller{ProjectID: "ops", Admin: true}
	alice = Caller{ProjectID: "alice"}
	bob   = Caller{ProjectID: "bob"}
)

func newCloud(t testing.TB, adjust ...func(*Config)) *cloud {
	t.Helper()
	db := storetest.Open(t)
	config := DefaultConfig()
	for _, f := range adjust {
		f(&config)
	}
	c := &cloud{t: t, db: db, now: time.Date(2030, 1, 2, 3, 4, 5, 600, time.UTC)}
	c.s = NewWith(db, config, c.source())
	t.Cleanup(func() { c.audit() })
	return c
}

// source has the test's clocks.
func (c *cloud) source() Source {
	source := SystemSource()
	source.Now = func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.now
	}
	source.Elapsed = func() time.Duration {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.ran
	}
	return source
}

// restart makes a new service on the same store.
func (c *cloud) restart() { c.s = NewWith(c.db, c.s.Config(), c.source()) }

func (c *cloud) later(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.ran = c.now.Add(d), c.ran+d
}

// setClock sets the wall clock, as a person or NTP does: no time passes.
func (c *cloud) setClock(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

func (c *cloud) try(who Caller, f func(*Tx) error) error {
	return c.s.Do(context.Background(), who, f)
}

func (c *cloud) do(who Caller, f func(*Tx) error) {
	c.t.Helper()
	if err := c.try(who, f); err != nil {
		c.t.Fatalf("refused: %v", err)
	}
}

// refused wants the error type, and that nothing was written.
func (c *cloud) refused(who Caller, typ string, f func(*Tx) error) {
	c.t.Helper()
	before := c.db.Snapshot().Revision()
	err := c.try(who, f)
	var e *neutrino.Error
	if !errors.As(err, &e) || e.Type != typ {
		c.t.Errorf("got %v (%T), want type %s", err, err, typ)
	} else if e.Code == neutrino.Internal {
		c.t.Errorf("%s has code Internal", typ)
	}
	if after := c.db.Snapshot().Revision(); after != before {
		c.t.Errorf("%s: the refused request wrote", typ)
	}
}

// fieldsOf is a request's set of attributes.
func fieldsOf(names ...string) neutrino.Fields {
	f := neutrino.Fields{}
	for _, n := range names {
		f[n] = true
	}
	return f
}

func (c *cloud) network(who Caller, n neutrino.Network, set ...string) (made *neutrino.Network) {
	c.t.Helper()
	c.do(who, func(tx *Tx) (err error) { made, err = CreateNetwork(tx, n, fieldsOf(set...)); return })
	return made
}

// subnet makes one without DHCP, unless the caller sets otherwise.
func (c *cloud) subnet(who Caller, n *neutrino.Network, cidr string, adjust ...func(*neutrino.Subnet)) (made *neutrino.Subnet) {
	c.t.Helper()
	s := subnetIn(n, cidr, adjust...)
	c.do(who, func(tx *Tx) (err error) { made, err = CreateSubnet(tx, s, fieldsOf("enable_dhcp")); return })
	return made
}

func subnetIn(n *neutrino.Network, cidr string, adjust ...func(*neutrino.Subnet)) neutrino.Subnet {
	p := netip.MustParsePrefix(cidr)
	s := neutrino.Subnet{NetworkID: n.ID, CIDR: p, IPVersion: familyOf(p.Addr())}
	for _, f := range adjust {
		f(&s)
	}
	return s
}

func withDHCP(s *neutrino.Subnet) { s.EnableDHCP = true }

func slaac(s *neutrino.Subnet) {
	s.EnableDHCP, s.IPv6AddressMode, s.IPv6RAMode = true, neutrino.SLAAC, neutrino.SLAAC
}

func (c *cloud) port(who Caller, p neutrino.Port, set ...string) (made *neutrino.Port) {
	c.t.Helper()
	c.do(who, func(tx *Tx) (err error) { made, err = CreatePort(tx, p, fieldsOf(set...)); return })
	return made
}

func (c *cloud) updatePort(who Caller, id neutrino.ID, change func(*neutrino.Port), set ...string) (made *neutrino.Port) {
	c.t.Helper()
	c.do(who, updatePort(id, change, &made, set...))
	return made
}

func updatePort(id neutrino.ID, change func(*neutrino.Port), made **neutrino.Port, set ...string) func(*Tx) error {
	return func(tx *Tx) (err error) {
		p, err := UpdatePort(tx, id, func(p *neutrino.Port) error { change(p); return nil }, fieldsOf(set...))
		if made != nil {
			*made = p
		}
		return err
	}
}

func (c *cloud) register(hosts ...string) {
	c.t.Helper()
	for i, h := range hosts {
		reg := neutrino.Registration{
			Host: h, TunnelIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), TunnelTypes: []string{"gre", "vxlan"},
			Services: []string{neutrino.AgentOVS, neutrino.AgentDHCP}, DatapathType: "netdev", HybridPlug: true,
		}
		c.do(admin, func(tx *Tx) error { return Register(tx, reg) })
	}
}

func (c *cloud) storedPort(id neutrino.ID) *neutrino.Port {
	c.t.Helper()
	p, ok := store.Peek(c.db.Snapshot(), store.Ports, id)
	if !ok {
		c.t.Fatalf("no port %s", id)
	}
	return p
}

func (c *cloud) portsOf(n *neutrino.Network) []*neutrino.Port {
	return slices.Collect(store.By(c.db.Snapshot(), store.PortsByNetwork, string(n.ID)))
}

func addresses(p *neutrino.Port) []string {
	list := []string{}
	for _, f := range p.FixedIPs {
		list = append(list, f.IPAddress.String())
	}
	return list
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// audit recomputes every claim from the rows: nothing is held twice, nothing
// is held for what is gone, and nothing in use is unheld.
func (c *cloud) audit() {
	c.t.Helper()
	snap := c.db.Snapshot()
	want := map[string]string{}
	claim := func(key string, owner neutrino.ID) {
		if other, twice := want[key]; twice {
			c.t.Errorf("%s belongs to %s and to %s", key, other, owner)
		}
		want[key] = string(owner)
	}
	for n := range store.All(snap, store.Networks) {
		claim(segmentClaim(n), n.ID)
		if n.IsDefault {
			claim(work.DefaultExternalClaim, n.ID)
		}
	}
	beginnings := map[neutrino.ID]neutrino.ID{}
	for p := range store.All(snap, store.Ports) {
		claim(macClaim(p.NetworkID, p.MAC), p.ID)
		if other, twice := beginnings[p.ID[:portNameLength]]; twice {
			c.t.Errorf("ports %s and %s begin alike", other, p.ID)
		}
		beginnings[p.ID[:portNameLength]] = p.ID
		for _, f := range p.FixedIPs {
			claim(ipClaim(f.SubnetID, f.IPAddress), p.ID)
			if _, ok := store.Peek(snap, store.Subnets, f.SubnetID); !ok {
				c.t.Errorf("port %s has an address of a subnet that is gone", p.ID)
			}
		}
		for _, g := range p.SecurityGroups {
			claim(groupUserClaim(g, p.ID), p.ID)
			if _, ok := store.Peek(snap, store.SecurityGroups, g); !ok {
				c.t.Errorf("port %s is in a group that is gone", p.ID)
			}
		}
		for _, b := range append(p.Standby, neutrino.PortBinding{Host: p.HostID, VIFType: p.VIFType, CTZone: p.CTZone}) {
			if b.VIFType != neutrino.VIFOVS {
				continue
			}
			claim(work.ZoneClaim(b.Host, b.CTZone), p.ID)
			claim(work.HostUserClaim(b.Host, p.NetworkID, p.ID), p.ID)
			if _, ok := store.Peek(snap, store.HostNetworks, store.HostNetworkID(b.Host, p.NetworkID)); !ok {
				c.t.Errorf("port %s is bound where its network is not", p.ID)
			}
		}
	}
	c.auditRest(snap, claim)
	c.auditRouting(snap, claim)
	c.auditPools(snap, claim)
	got := maps.Collect(store.Claims(snap, ""))
	if d := cmp.Diff(want, got); d != "" {
		c.t.Errorf("claims differ from rows (-rows +claims):\n%s", d)
	}
}

func (c *cloud) auditRest(snap *store.Snapshot, claim func(string, neutrino.ID)) {
	for h := range store.All(snap, store.HostNetworks) {
		claim(work.VLANClaim(h.Host, h.LocalVLAN), h.NetworkID)
		claim(work.PresenceClaim(h.NetworkID, h.Host), neutrino.ID(h.Host))
		used := false
		for range store.Claims(snap, work.HostUserPrefix(h.Host, h.NetworkID)) {
			used = true
		}
		if !used {
			c.t.Errorf("%s has network %s without a port", h.Host, h.NetworkID)
		}
	}
	slots := 0
	for slot, host := range store.Claims(snap, "dhcp-slot/") {
		claim(slot, neutrino.ID(host))
		slots++
	}
	for b := range store.All(snap, store.DHCPBindings) {
		slots--
		held := 0
		for _, host := range store.Claims(snap, dhcpSlotPrefix(b.NetworkID)) {
			if host == b.Host {
				held++
			}
		}
		if held != 1 {
			c.t.Errorf("%s has %d slots of network %s", b.Host, held, b.NetworkID)
		}
	}
	if slots != 0 {
		c.t.Errorf("%d slots have no binding", slots)
	}
	for g := range store.All(snap, store.SecurityGroups) {
		if g.Name == neutrino.DefaultGroup {
			claim("default-group/"+g.ProjectID, g.ID)
		}
	}
	for r := range store.All(snap, store.SecurityGroupRules) {
		for _, g := range []neutrino.ID{r.SecurityGroupID, r.RemoteGroupID} {
			if _, ok := store.Peek(snap, store.SecurityGroups, g); g != "" && !ok {
				c.t.Errorf("rule %s names a group that is gone", r.ID)
			}
		}
	}
}
