package intent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/intent/addressscope"
	"neutrino/intent/rbac"
	"neutrino/intent/subnetpool"
	"neutrino/intent/work"
	"neutrino/store"
)

// The stories of subnet pools and address scopes.

// auditPools checks pools, their subnets and scopes against each other.
func (c *cloud) auditPools(snap *store.Snapshot, claim func(string, neutrino.ID)) {
	c.t.Helper()
	for s := range store.All(snap, store.Subnets) {
		if s.SubnetPoolID == "" {
			continue
		}
		claim(work.PoolPrefixClaim(s.SubnetPoolID, s.CIDR), s.ID)
		claim(work.PoolUserClaim(s.SubnetPoolID, s), s.ID)
		p, ok := store.Peek(snap, store.SubnetPools, s.SubnetPoolID)
		if !ok || !neutrino.CoverPrefix(p.Prefixes, s.CIDR) {
			c.t.Errorf("subnet %s is not in the prefixes of its pool", s.CIDR)
		}
		for other := range store.By(snap, store.SubnetsByPool, string(s.SubnetPoolID)) {
			if other.ID != s.ID && other.CIDR.Overlaps(s.CIDR) {
				c.t.Errorf("subnets %s and %s of one pool overlap", s.CIDR, other.CIDR)
			}
		}
		a, scoped := addressscope.Of(snap, s.NetworkID, s.IPVersion)
		if scoped != (p.AddressScopeID != "") || scoped && a.ID != p.AddressScopeID {
			c.t.Errorf("subnet %s is not in its network's scope", s.CIDR)
		}
	}
	for p := range store.All(snap, store.SubnetPools) {
		if p.IsDefault {
			claim(work.DefaultPoolClaim(p.IPVersion), p.ID)
		}
		if _, ok := store.Peek(snap, store.AddressScopes, p.AddressScopeID); p.AddressScopeID != "" && !ok {
			c.t.Errorf("pool %s is in a scope that is gone", p.ID)
		}
	}
	for h := range store.All(snap, store.HostScopes) {
		claim(work.HostMarkClaim(h.Host, h.Mark), h.ScopeID)
		if _, ok := store.Peek(snap, store.AddressScopes, h.ScopeID); !ok || h.Mark < neutrino.FirstScopeMark {
			c.t.Errorf("scope on a host: %+v, which exists: %v", h, ok)
		}
	}
	for h := range store.All(snap, store.HostNetworks) {
		for s := range store.By(snap, store.SubnetsByNetwork, string(h.NetworkID)) {
			p, ok := store.Peek(snap, store.SubnetPools, s.SubnetPoolID)
			if !ok || p.AddressScopeID == "" {
				continue
			}
			if _, ok := store.Peek(snap, store.HostScopes, store.HostScopeID(h.Host, p.AddressScopeID)); !ok {
				c.t.Errorf("scope %s has no mark on %s", p.AddressScopeID, h.Host)
			}
		}
	}
	for a := range store.All(snap, store.AddressScopes) {
		if a.Shared || a.Mark != 0 {
			c.t.Errorf("scope %+v", a)
		}
	}
	for p := range store.All(snap, store.RBACPolicies) {
		if !c.exists(snap, p.ObjectType, p.ObjectID) {
			c.t.Errorf("policy %+v is of an object that is gone", p)
		}
	}
}

func (c *cloud) exists(snap *store.Snapshot, typ string, id neutrino.ID) bool {
	switch typ {
	case rbac.Network:
		return store.ModRevision(snap, store.Networks, id) > 0
	case rbac.SecurityGroup:
		return store.ModRevision(snap, store.SecurityGroups, id) > 0
	case rbac.AddressScope:
		return store.ModRevision(snap, store.AddressScopes, id) > 0
	}
	return store.ModRevision(snap, store.SubnetPools, id) > 0
}

func cidrs(text string) []netip.Prefix {
	var list []netip.Prefix
	for _, s := range strings.Fields(text) {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func (c *cloud) pool(who Caller, p neutrino.SubnetPool, set ...string) (made *neutrino.SubnetPool) {
	c.t.Helper()
	if p.Name == "" {
		p.Name = "pool"
	}
	c.do(who, func(tx *Tx) (err error) { made, err = subnetpool.Create(tx, p, fieldsOf(set...)); return })
	return made
}

func makePool(prefixes string, adjust func(*neutrino.SubnetPool), set ...string) func(*Tx) error {
	return func(tx *Tx) error {
		p := neutrino.SubnetPool{Name: "pool", Prefixes: cidrs(prefixes)}
		if adjust != nil {
			adjust(&p)
		}
		_, err := subnetpool.Create(tx, p, fieldsOf(set...))
		return err
	}
}

func updatePool(id neutrino.ID, change func(*neutrino.SubnetPool), set ...string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := subnetpool.Update(tx, id, func(p *neutrino.SubnetPool) error { change(p); return nil }, fieldsOf(set...))
		return err
	}
}

func (c *cloud) scope(who Caller, a neutrino.AddressScope) (made *neutrino.AddressScope) {
	c.t.Helper()
	if a.IPVersion == 0 {
		a.IPVersion = 4
	}
	c.do(who, func(tx *Tx) (err error) { made, err = addressscope.Create(tx, a, nil); return })
	return made
}

// cut makes a subnet of a pool, without DHCP.
func cut(s neutrino.Subnet, want subnetpool.Request, made **neutrino.Subnet) func(*Tx) error {
	return func(tx *Tx) error {
		if s.IPVersion == 0 {
			s.IPVersion = 4
		}
		got, err := CreateSubnetFrom(tx, s, want, fieldsOf("enable_dhcp"))
		if made != nil {
			*made = got
		}
		return err
	}
}

func (c *cloud) cut(who Caller, n *neutrino.Network, p *neutrino.SubnetPool, bits int) (made *neutrino.Subnet) {
	c.t.Helper()
	c.do(who, cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID, IPVersion: p.IPVersion}, subnetpool.Request{PrefixLen: &bits}, &made))
	return made
}

func TestAPoolsRules(t *testing.T) {
	c := newCloud(t)
	p := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.41.0.0/16 10.40.0.0/16")})
	if len(p.Prefixes) != 1 || p.Prefixes[0].String() != "10.40.0.0/15" || p.IPVersion != 4 ||
		p.MinPrefixLen != 8 || p.DefaultPrefixLen != 8 || p.MaxPrefixLen != 32 {
		t.Errorf("made %+v", p)
	}
	if p6 := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("fd00::/48")}); p6.MinPrefixLen != 64 || p6.MaxPrefixLen != 128 || p6.IPVersion != 6 {
		t.Errorf("made %+v", p6)
	}
	c.refused(alice, "EmptySubnetPoolPrefixList", makePool("", nil))
	c.refused(alice, "PrefixVersionMismatch", makePool("10.0.0.0/8 fd00::/48", nil))
	c.refused(alice, "InvalidInput", makePool("0.0.0.0/0", nil))
	c.refused(alice, "InvalidInput", makePool("10.0.0.0/8", func(p *neutrino.SubnetPool) { p.Name = "" }))
	lengths := func(least, usual, most int) func(*neutrino.SubnetPool) {
		return func(p *neutrino.SubnetPool) { p.MinPrefixLen, p.DefaultPrefixLen, p.MaxPrefixLen = least, usual, most }
	}
	all := []string{"min_prefixlen", "default_prefixlen", "max_prefixlen"}
	for _, bad := range [][3]int{{25, 25, 24}, {20, 19, 24}, {20, 25, 24}, {8, 24, 33}} {
		c.refused(alice, "IllegalSubnetPoolPrefixBounds", makePool("10.0.0.0/8", lengths(bad[0], bad[1], bad[2]), all...))
	}
	c.refused(alice, "UnsupportedMinSubnetPoolPrefix", makePool("10.0.0.0/8", lengths(-1, 8, 32), all...))
	c.refused(alice, "IllegalSubnetPoolPrefixUpdate", updatePool(p.ID, func(p *neutrino.SubnetPool) { p.Prefixes = cidrs("10.40.0.0/16") }, "prefixes"))
	c.do(alice, updatePool(p.ID, func(p *neutrino.SubnetPool) { p.Prefixes = cidrs("10.40.0.0/15 10.42.0.0/15") }, "prefixes"))
	c.refused(alice, "IllegalSubnetPoolPrefixBounds", updatePool(p.ID, func(p *neutrino.SubnetPool) { p.DefaultPrefixLen = 7 }, "default_prefixlen"))
	c.refused(bob, "SubnetPoolNotFound", updatePool(p.ID, func(*neutrino.SubnetPool) {}))
	c.do(alice, func(tx *Tx) error { return subnetpool.Delete(tx, p.ID) })
}

func TestOneDefaultPoolForEachFamily(t *testing.T) {
	c := newCloud(t)
	isDefault := func(p *neutrino.SubnetPool) { p.IsDefault = true }
	p := c.pool(admin, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/8"), IsDefault: true, DefaultPrefixLen: 24, MinPrefixLen: 8}, "default_prefixlen")
	c.refused(admin, "InvalidInput", makePool("10.0.0.0/8", isDefault))
	c.do(admin, makePool("fd00::/48", isDefault))
	other := c.pool(admin, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/8")})
	c.refused(admin, "InvalidInput", updatePool(other.ID, isDefault, "is_default"))
	n := c.network(alice, neutrino.Network{})
	want := subnetpool.Request{Default: true}
	c.refused(alice, "BadRequest", cut(neutrino.Subnet{NetworkID: n.ID}, want, nil)) // it is not shared with her
	c.do(admin, func(tx *Tx) error {
		_, err := rbac.Create(tx, neutrino.RBACPolicy{ObjectType: rbac.SubnetPool, ObjectID: p.ID, Action: neutrino.AccessAsShared, TargetProject: "alice"}, nil)
		return err
	})
	c.refused(alice, "BadRequest", cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID}, want, nil))
	var s *neutrino.Subnet
	c.do(alice, cut(neutrino.Subnet{NetworkID: n.ID}, want, &s))
	if s.CIDR.String() != "10.0.0.0/24" || s.SubnetPoolID != p.ID {
		t.Errorf("made %+v", s)
	}
	c.do(admin, updatePool(p.ID, func(p *neutrino.SubnetPool) { p.IsDefault = false }, "is_default"))
	c.do(admin, updatePool(other.ID, isDefault, "is_default"))
}

func TestSubnetsAreCutFromAPool(t *testing.T) {
	c := newCloud(t)
	p := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/24 10.0.4.0/25"), MinPrefixLen: 24, DefaultPrefixLen: 26, MaxPrefixLen: 28},
		"min_prefixlen", "default_prefixlen", "max_prefixlen")
	n := c.network(alice, neutrino.Network{})
	var s *neutrino.Subnet
	c.do(alice, cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID}, subnetpool.Request{}, &s))
	if s.CIDR.String() != "10.0.4.0/26" || s.GatewayIP.String() != "10.0.4.1" {
		t.Errorf("made %+v", s)
	}
	named := func(cidr string) func(*Tx) error {
		return cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID, CIDR: netip.MustParsePrefix(cidr)}, subnetpool.Request{}, nil)
	}
	bits := func(n int) subnetpool.Request { return subnetpool.Request{PrefixLen: &n} }
	c.do(alice, named("10.0.0.0/25"))
	c.refused(alice, "SubnetAllocationError", named("10.0.0.64/26"))
	c.refused(alice, "SubnetAllocationError", named("10.0.0.0/24"))
	c.refused(alice, "SubnetAllocationError", named("192.0.2.0/26"))
	c.refused(alice, "MinPrefixSubnetAllocationError", named("10.0.0.0/23"))
	c.refused(alice, "MaxPrefixSubnetAllocationError", named("10.0.0.128/29"))
	of := neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID}
	c.refused(alice, "MinPrefixSubnetAllocationError", cut(of, bits(23), nil))
	c.refused(alice, "SubnetAllocationError", cut(of, bits(24), nil))
	of.CIDR = netip.MustParsePrefix("10.0.0.128/26")
	c.refused(alice, "BadRequest", cut(of, bits(26), nil))
	c.refused(alice, "BadRequest", cut(neutrino.Subnet{NetworkID: n.ID}, bits(26), nil))
	c.refused(alice, "BadRequest", cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID, IPVersion: 6}, subnetpool.Request{}, nil))
	c.refused(alice, "SubnetPoolNotFound", cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: "nowhere"}, subnetpool.Request{}, nil))
	c.refused(bob, "NetworkNotFound", cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID}, subnetpool.Request{}, nil))
	foreign := c.network(bob, neutrino.Network{})
	c.refused(bob, "SubnetPoolNotFound", cut(neutrino.Subnet{NetworkID: foreign.ID, SubnetPoolID: p.ID}, subnetpool.Request{}, nil))
	c.refused(alice, "SubnetPoolDeleteError", func(tx *Tx) error { return subnetpool.Delete(tx, p.ID) })
	c.do(alice, func(tx *Tx) error { return DeleteSubnet(tx, s.ID) })
	if again := c.cut(alice, n, p, 25); again.CIDR.String() != "10.0.0.128/25" && again.CIDR.String() != "10.0.4.0/25" {
		t.Errorf("made %+v", again)
	}
	c.do(alice, func(tx *Tx) error { return DeleteNetwork(tx, n.ID) })
	c.do(alice, func(tx *Tx) error { return subnetpool.Delete(tx, p.ID) })
}

func TestAProjectTakesNoMoreThanThePoolGrants(t *testing.T) {
	c := newCloud(t)
	quota := 128
	p := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/16"), DefaultQuota: &quota})
	n := c.network(alice, neutrino.Network{})
	for range 2 {
		c.cut(alice, n, p, 26)
	}
	over := 30
	c.refused(alice, "SubnetPoolQuotaExceeded", cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID}, subnetpool.Request{PrefixLen: &over}, nil))
	quota6, half := 2, 65
	p6 := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("fd00::/48"), DefaultQuota: &quota6})
	c.cut(alice, n, p6, 64)
	c.cut(alice, n, p6, 65)
	c.cut(alice, n, p6, 65)
	c.refused(alice, "SubnetPoolQuotaExceeded",
		cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p6.ID, IPVersion: 6}, subnetpool.Request{PrefixLen: &half}, nil))
}

func TestOneNetworkOnePool(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	p := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/16")})
	q := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.1.0.0/16")})
	c.cut(alice, n, p, 24)
	c.refused(alice, "NetworkSubnetPoolAffinityError", cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: q.ID}, subnetpool.Request{}, nil))
	c.refused(alice, "NetworkSubnetPoolAffinityError", cut(subnetIn(n, "192.0.2.0/24"), subnetpool.Request{}, nil))
	c.subnet(alice, n, "fd00::/64")
}

func TestPrefixesComeAndGo(t *testing.T) {
	c := newCloud(t)
	p := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.1.0.0/24")})
	n := c.network(alice, neutrino.Network{})
	var now []netip.Prefix
	add := func(text string) func(*Tx) error {
		return func(tx *Tx) (err error) { now, err = subnetpool.AddPrefixes(tx, p.ID, cidrs(text)); return }
	}
	remove := func(text string) func(*Tx) error {
		return func(tx *Tx) (err error) { now, err = subnetpool.RemovePrefixes(tx, p.ID, cidrs(text)); return }
	}
	are := func(text string) {
		t.Helper()
		if !slices.Equal(now, cidrs(text)) {
			t.Errorf("prefixes %v, want %s", now, text)
		}
	}
	c.do(alice, add("10.1.1.0/24 10.1.1.128/25"))
	are("10.1.0.0/23")
	c.refused(alice, "PrefixVersionMismatch", add("fd00::/48"))
	c.refused(alice, "EmptySubnetPoolPrefixList", add(""))
	c.cut(alice, n, p, 24)
	c.refused(alice, "IllegalSubnetPoolPrefixUpdate", remove("10.1.0.128/25"))
	c.do(alice, remove("10.1.1.0/25"))
	are("10.1.0.0/24 10.1.1.128/25")
	c.refused(bob, "SubnetPoolNotFound", remove("10.1.1.0/25"))
}

// failures.md, S24: who sees a shared network takes no foreign subnet of it into
// its pool.
func TestOnlyOwnSubnetsAreTakenIntoAPool(t *testing.T) {
	c := newCloud(t)
	n := c.network(admin, neutrino.Network{Shared: true, ProjectID: "alice"}, "project_id")
	s := c.subnet(alice, n, "10.5.0.0/24")
	mine := c.pool(bob, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/16")})
	onboard := func(p *neutrino.SubnetPool) func(*Tx) error {
		return func(tx *Tx) error { _, err := subnetpool.Onboard(tx, p.ID, n.ID); return err }
	}
	c.refused(bob, "NotAuthorized", onboard(mine))
	hers := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.4.0.0/24")})
	c.refused(bob, "SubnetPoolNotFound", onboard(hers))
	c.do(alice, onboard(hers))
	got, _ := store.Peek(c.db.Snapshot(), store.Subnets, s.ID)
	grown, _ := store.Peek(c.db.Snapshot(), store.SubnetPools, hers.ID)
	if got.SubnetPoolID != hers.ID || !slices.Equal(grown.Prefixes, cidrs("10.4.0.0/24 10.5.0.0/24")) {
		t.Errorf("subnet %+v of pool %+v", got, grown)
	}
	c.do(alice, onboard(hers)) // nothing is left to take
	again := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.6.0.0/24")})
	c.refused(alice, "IllegalSubnetPoolUpdate", onboard(again))
	c.do(alice, func(tx *Tx) error { return DeleteSubnet(tx, s.ID) })
	c.do(alice, func(tx *Tx) error { return subnetpool.Delete(tx, hers.ID) })
}

func TestAddressScopes(t *testing.T) {
	c := newCloud(t)
	a := c.scope(alice, neutrino.AddressScope{})
	in := func(prefixes string, a *neutrino.AddressScope) func(*Tx) error {
		return makePool(prefixes, func(p *neutrino.SubnetPool) { p.AddressScopeID = a.ID })
	}
	p := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/16"), AddressScopeID: a.ID})
	c.refused(alice, "AddressScopePrefixConflict", in("10.0.3.0/24", a))
	c.refused(alice, "IllegalSubnetPoolIpVersionAssociationToAddressScope", in("fd00::/48", a))
	c.refused(bob, "AddressScopeNotFound", in("10.7.0.0/24", a))
	public := c.scope(admin, neutrino.AddressScope{Shared: true})
	guest := c.pool(bob, neutrino.SubnetPool{Prefixes: cidrs("10.7.0.0/24"), AddressScopeID: public.ID})
	c.refused(bob, "IllegalSubnetPoolUpdate", updatePool(guest.ID, func(p *neutrino.SubnetPool) { p.Prefixes = cidrs("10.7.0.0/23") }, "prefixes"))
	c.refused(bob, "IllegalSubnetPoolUpdate", func(tx *Tx) error { _, err := subnetpool.AddPrefixes(tx, guest.ID, cidrs("10.8.0.0/24")); return err })
	c.refused(bob, "IllegalSubnetPoolUpdate", updatePool(guest.ID, func(p *neutrino.SubnetPool) { p.AddressScopeID = "" }, "address_scope_id"))
	c.do(admin, updatePool(guest.ID, func(p *neutrino.SubnetPool) { p.Prefixes = cidrs("10.7.0.0/23") }, "prefixes"))
	q := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.1.0.0/16"), AddressScopeID: a.ID})
	c.refused(alice, "AddressScopePrefixConflict", updatePool(q.ID, func(q *neutrino.SubnetPool) { q.Prefixes = cidrs("10.0.0.0/15") }, "prefixes"))
	n := c.network(alice, neutrino.Network{})
	c.cut(alice, n, p, 24)
	c.cut(alice, n, q, 24) // another pool of the same scope
	if of, ok := addressscope.Of(c.db.Snapshot(), n.ID, 4); !ok || of.ID != a.ID {
		t.Errorf("the network's scope is %+v", of)
	}
	b := c.scope(alice, neutrino.AddressScope{})
	other := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.9.0.0/16"), AddressScopeID: b.ID})
	c.refused(alice, "NetworkAddressScopeAffinityError", cut(neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: other.ID}, subnetpool.Request{}, nil))
	c.refused(alice, "NetworkAddressScopeAffinityError", cut(subnetIn(n, "192.0.2.0/24"), subnetpool.Request{}, nil))
	move := updatePool(p.ID, func(p *neutrino.SubnetPool) { p.AddressScopeID = b.ID }, "address_scope_id")
	c.refused(alice, "NetworkAddressScopeAffinityError", move)
	remove := func(a *neutrino.AddressScope) func(*Tx) error {
		return func(tx *Tx) error { return addressscope.Delete(tx, a.ID) }
	}
	c.refused(alice, "AddressScopeInUse", remove(a))
	c.do(alice, func(tx *Tx) error { return DeleteNetwork(tx, n.ID) })
	c.do(alice, move)
	c.do(alice, func(tx *Tx) error { return subnetpool.Delete(tx, q.ID) })
	c.do(alice, remove(a))
	update := func(shared bool) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := addressscope.Update(tx, b.ID, func(a *neutrino.AddressScope) error { a.Shared = shared; return nil }, fieldsOf("shared"))
			return err
		}
	}
	c.do(admin, update(true))
	c.refused(admin, "AddressScopeUpdateError", update(false))
	c.do(bob, in("10.7.0.0/24", b))
}

func TestManyAtOnceForOnePool(t *testing.T) {
	c := newCloud(t)
	p := c.pool(admin, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/23"), Shared: true})
	var list []*neutrino.Network
	for i := range 64 {
		list = append(list, c.network(Caller{ProjectID: fmt.Sprint("p", i)}, neutrino.Network{}))
	}
	// 64 clients ask for /28 to /25 of 512 addresses; what one gets no other does.
	got := together(64, func(i int) error {
		bits := 25 + i%4
		return c.try(Caller{ProjectID: fmt.Sprint("p", i)},
			cut(neutrino.Subnet{NetworkID: list[i].ID, SubnetPoolID: p.ID}, subnetpool.Request{PrefixLen: &bits}, nil))
	})
	if got[""]+got["SubnetAllocationError"] != 64 || got[""] < 4 {
		t.Errorf("results %v", got)
	}
	sum := 0
	for s := range store.By(c.db.Snapshot(), store.SubnetsByPool, string(p.ID)) {
		sum += 1 << (32 - s.CIDR.Bits())
	}
	if sum < 512-16 {
		t.Errorf("only %d addresses are given out: %v", sum, got)
	}
}

func TestManyAtOnceForOnePoolOfEqualSubnetsAndOneQuota(t *testing.T) {
	c := newCloud(t, func(c *Config) { c.Quotas = nil })
	p := c.pool(admin, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/19"), Shared: true})
	quota := 256
	q := c.pool(admin, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/16"), Shared: true, DefaultQuota: &quota})
	var list, more []*neutrino.Network
	for range 64 {
		list, more = append(list, c.network(alice, neutrino.Network{})), append(more, c.network(alice, neutrino.Network{}))
	}
	take := func(nets []*neutrino.Network, p *neutrino.SubnetPool, bits int) map[string]int {
		return together(64, func(i int) error {
			return c.try(alice, cut(neutrino.Subnet{NetworkID: nets[i].ID, SubnetPoolID: p.ID}, subnetpool.Request{PrefixLen: &bits}, nil))
		})
	}
	if got := take(list, p, 24); got[""] != 32 || got["SubnetAllocationError"] != 32 {
		t.Errorf("pool: %v", got)
	}
	if got := take(more, q, 28); got[""] != 16 || got["SubnetPoolQuotaExceeded"] != 48 {
		t.Errorf("quota: %v", got)
	}
}
