package intent

import (
	"context"
	"slices"
	"testing"

	"neutrino"
	"neutrino/intent/addressscope"
	"neutrino/intent/defaultgroup"
	"neutrino/intent/rbac"
	"neutrino/intent/subnetpool"
	"neutrino/intent/work"
	"neutrino/store"
)

// The stories of RBAC policies.

var carol = Caller{ProjectID: "carol"}

func share(typ string, object neutrino.ID, target string, made **neutrino.RBACPolicy) func(*Tx) error {
	return allow(neutrino.RBACPolicy{ObjectType: typ, ObjectID: object, Action: neutrino.AccessAsShared, TargetProject: target}, made)
}

func allow(p neutrino.RBACPolicy, made **neutrino.RBACPolicy) func(*Tx) error {
	return func(tx *Tx) error {
		got, err := CreateRBACPolicy(tx, p, nil)
		if made != nil {
			*made = got
		}
		return err
	}
}

func (c *cloud) share(who Caller, typ string, object neutrino.ID, target string) (made *neutrino.RBACPolicy) {
	c.t.Helper()
	c.do(who, share(typ, object, target, &made))
	return made
}

func unshare(p *neutrino.RBACPolicy) func(*Tx) error {
	return func(tx *Tx) error { return rbac.Delete(tx, p.ID) }
}

func retarget(p *neutrino.RBACPolicy, target string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := rbac.Update(tx, p.ID, func(p *neutrino.RBACPolicy) error { p.TargetProject = target; return nil }, nil)
		return err
	}
}

// policiesOf are the policies of an object, as targets.
func (c *cloud) targets(object neutrino.ID) (list []string) {
	for p := range store.By(c.db.Snapshot(), store.RBACPoliciesByObject, string(object)) {
		list = append(list, string(p.Action)+" "+p.TargetProject)
	}
	slices.Sort(list)
	return list
}

func TestAPolicysRules(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	p := c.share(alice, rbac.Network, n.ID, "bob")
	if p.ProjectID != "alice" {
		t.Errorf("made %+v", p)
	}
	c.refused(alice, "DuplicateRbacPolicy", share(rbac.Network, n.ID, "bob", nil))
	c.refused(bob, "InvalidInput", share(rbac.Network, n.ID, "carol", nil)) // bob sees it, and does not own it
	c.refused(carol, "InvalidInput", share(rbac.Network, n.ID, "carol", nil))
	c.refused(alice, "InvalidInput", share(rbac.Network, "nowhere", "bob", nil))
	c.refused(alice, "InvalidInput", share("qos_policy", n.ID, "bob", nil))
	c.refused(alice, "InvalidInput", share(rbac.Network, n.ID, "", nil))
	c.refused(alice, "InvalidActionForType", allow(neutrino.RBACPolicy{ObjectType: rbac.SecurityGroup, ObjectID: n.ID,
		Action: neutrino.AccessAsExternal, TargetProject: "bob"}, nil))
	for _, who := range []Caller{bob, carol} {
		c.refused(who, "RbacPolicyNotFound", unshare(p))
		c.refused(who, "RbacPolicyNotFound", retarget(p, who.ProjectID))
	}
	c.do(alice, retarget(p, "carol"))
	c.refused(bob, "NetworkNotFound", create(neutrino.Port{NetworkID: n.ID}))
	c.do(carol, create(neutrino.Port{NetworkID: n.ID}))
	c.share(admin, rbac.Network, n.ID, "bob")
	c.do(admin, func(tx *Tx) error {
		for p := range store.By(tx.Tx, store.PortsByProject, "carol") {
			if err := DeletePort(tx, p.ID); err != nil {
				return err
			}
		}
		return DeleteNetwork(tx, n.ID)
	})
	if left := c.targets(n.ID); left != nil {
		t.Errorf("the network left %v", left)
	}
}

// The flags of a network and its policies are one thing.
func TestSharedAndExternalArePoliciesForEverybody(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{Shared: true, External: true})
	if got, want := c.targets(n.ID), []string{"access_as_external *", "access_as_shared *"}; !slices.Equal(got, want) {
		t.Errorf("policies %v", got)
	}
	set := func(change func(*neutrino.Network), names ...string) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdateNetwork(tx, n.ID, func(n *neutrino.Network) error { change(n); return nil }, fieldsOf(names...))
			return err
		}
	}
	c.do(admin, set(func(n *neutrino.Network) { n.Name = "same" }, "name"))
	if got := c.targets(n.ID); len(got) != 2 {
		t.Errorf("a new name left %v", got)
	}
	c.do(admin, set(func(n *neutrino.Network) { n.Shared = false }, "shared"))
	c.do(admin, set(func(n *neutrino.Network) { n.External = false }, "router:external"))
	if got := c.targets(n.ID); got != nil {
		t.Errorf("policies %v", got)
	}
	c.do(admin, set(func(n *neutrino.Network) { n.Shared = true }, "shared"))
	p := c.share(alice, rbac.Network, n.ID, "bob")
	c.do(bob, create(neutrino.Port{NetworkID: n.ID}))
	c.do(admin, set(func(n *neutrino.Network) { n.Shared = false }, "shared")) // bob has a share of his own
	c.refused(admin, "RbacPolicyInUse", unshare(p))
	c.refused(admin, "RbacPolicyInUse", retarget(p, "carol"))
	c.do(admin, retarget(p, neutrino.EveryProject))
	c.refused(admin, "InvalidSharedSetting", set(func(n *neutrino.Network) { n.Shared = false }, "shared"))
}

// An access_as_external policy makes a network external, for its target; the
// last one that goes makes it internal again.
func TestAnExternalNetworkOfSomeProjects(t *testing.T) {
	c := newCloud(t)
	n := c.network(admin, neutrino.Network{})
	c.subnet(admin, n, "203.0.113.0/28")
	external := func(target string, made **neutrino.RBACPolicy) func(*Tx) error {
		return allow(neutrino.RBACPolicy{ObjectType: rbac.Network, ObjectID: n.ID, Action: neutrino.AccessAsExternal, TargetProject: target}, made)
	}
	var hers, his *neutrino.RBACPolicy
	c.do(admin, external("alice", &hers))
	c.share(admin, rbac.Network, n.ID, "carol")
	if !work.IsExternal(c.db.Snapshot(), n.ID) {
		t.Error("the network is not external")
	}
	c.refused(bob, "NetworkNotFound", createFloating(neutrino.FloatingIP{FloatingNetworkID: n.ID}))
	c.refused(carol, "BadRequest", createFloating(neutrino.FloatingIP{FloatingNetworkID: n.ID})) // it has a share of another kind
	c.refused(alice, "NetworkNotFound", create(neutrino.Port{NetworkID: n.ID}))                  // no place for instances
	r := c.router(alice, n)
	c.refused(admin, "RbacPolicyInUse", unshare(hers))
	c.do(admin, external(neutrino.EveryProject, &his))
	c.do(admin, unshare(hers))
	f := c.floating(bob, neutrino.FloatingIP{FloatingNetworkID: n.ID})
	c.refused(admin, "RbacPolicyInUse", unshare(his))
	c.refused(admin, "RbacPolicyInUse", retarget(his, "alice"))
	c.do(bob, func(tx *Tx) error { return DeleteFloatingIP(tx, f.ID) })
	c.do(admin, retarget(his, "alice"))
	c.do(alice, func(tx *Tx) error { return DeleteRouter(tx, r.ID) })
	own := c.router(admin, n)
	c.refused(admin, "RbacPolicyInUse", unshare(his)) // it is the last: not even its owner could use it
	c.do(admin, func(tx *Tx) error { return DeleteRouter(tx, own.ID) })
	c.do(admin, unshare(his))
	if work.IsExternal(c.db.Snapshot(), n.ID) {
		t.Error("the network is still external")
	}
}

// api.md section 3.1: one external network is the default one, for as long as it
// is external.
func TestOneExternalNetworkIsTheDefault(t *testing.T) {
	c := newCloud(t)
	set := func(n *neutrino.Network, field string, change func(*neutrino.Network)) func(*Tx) error {
		return func(tx *Tx) error {
			_, err := UpdateNetwork(tx, n.ID, func(n *neutrino.Network) error { change(n); return nil }, fieldsOf(field))
			return err
		}
	}
	yes, no := func(n *neutrino.Network) { n.IsDefault = true }, func(n *neutrino.Network) { n.IsDefault = false }
	inside := func(n *neutrino.Network) { n.External = false }
	is := func(n *neutrino.Network, want bool) {
		t.Helper()
		if got, _ := store.Peek(c.db.Snapshot(), store.Networks, n.ID); got.IsDefault != want {
			t.Errorf("network %s is the default: %t, want %t", n.ID, got.IsDefault, want)
		}
	}
	first := c.network(admin, neutrino.Network{External: true, IsDefault: true})
	second := c.network(admin, neutrino.Network{External: true})
	c.refused(admin, "InvalidInput", makeNetwork(neutrino.Network{IsDefault: true})) // it is not external
	c.refused(admin, "DefaultExternalNetworkExists", makeNetwork(neutrino.Network{External: true, IsDefault: true}))
	c.refused(admin, "DefaultExternalNetworkExists", set(second, "is_default", yes))
	c.do(admin, set(first, "is_default", yes)) // it is already
	c.do(admin, set(first, "is_default", no))
	c.do(admin, set(second, "is_default", yes))
	c.do(admin, set(second, "router:external", inside))
	is(second, false)
	c.do(admin, set(first, "is_default", yes))
	for p := range store.By(c.db.Snapshot(), store.RBACPoliciesByObject, string(first.ID)) {
		c.refused(admin, "RbacPolicyInUse", unshare(p)) // the default one is everybody's
		c.do(admin, set(first, "is_default", no))
		c.do(admin, unshare(p))
	}
	is(first, false)
	third := c.network(admin, neutrino.Network{External: true, IsDefault: true})
	c.do(admin, func(tx *Tx) error { return DeleteNetwork(tx, third.ID) })
	is(c.network(admin, neutrino.Network{External: true, IsDefault: true}), true)
}

// api.md section 1.9: a share that names the project lets it attach its router,
// a share with everybody does not.
func TestARouterIsAttachedByAShareThatNamesItsProject(t *testing.T) {
	c := newCloud(t)
	n := c.network(admin, neutrino.Network{ProjectID: "alice", Shared: true}, "project_id")
	s := c.subnet(alice, n, "10.0.0.0/24")
	r := c.router(bob, nil)
	attach := func(tx *Tx) error { _, err := AddRouterInterface(tx, r.ID, s.ID, ""); return err }
	c.refused(bob, "BadRequest", attach)
	p := c.share(alice, rbac.Network, n.ID, "bob")
	c.do(bob, attach)
	c.do(alice, unshare(p)) // bob's port has the share with everybody left
	c.refused(admin, "InvalidSharedSetting", func(tx *Tx) error {
		_, err := UpdateNetwork(tx, n.ID, func(n *neutrino.Network) error { n.Shared = false; return nil }, fieldsOf("shared"))
		return err
	})
}

func TestASharedSecurityGroup(t *testing.T) {
	c := newCloud(t)
	g := c.group(alice, "web")
	n := c.network(bob, neutrino.Network{})
	with := neutrino.Port{NetworkID: n.ID, PortSecurityEnabled: true, SecurityGroups: []neutrino.ID{g.ID}}
	make := func(tx *Tx) error { _, err := CreatePort(tx, with, fieldsOf("security_groups")); return err }
	c.refused(bob, "SecurityGroupNotFound", make)
	p := c.share(alice, rbac.SecurityGroup, g.ID, "bob")
	c.do(bob, make)
	c.refused(alice, "RbacPolicyInUse", unshare(p))
	c.refused(alice, "SecurityGroupInUse", func(tx *Tx) error { return DeleteSecurityGroup(tx, g.ID) })
	snap := c.db.Snapshot()
	if !work.VisibleSecurityGroup(bob, snap, g) || work.VisibleSecurityGroup(carol, snap, g) {
		t.Error("visibility is wrong")
	}
	c.share(carol, rbac.SecurityGroup, defaultgroup.ID("carol"), "bob") // before anything needed it
}

// A pool is shared with projects only that see its address scope, and the
// scope's share stays while the pool's does.
func TestASharedPoolInAScope(t *testing.T) {
	c := newCloud(t)
	a := c.scope(alice, neutrino.AddressScope{})
	p := c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.0.0.0/16"), AddressScopeID: a.ID})
	c.refused(alice, "InvalidInput", share(rbac.SubnetPool, p.ID, "bob", nil))
	scoped := c.share(alice, rbac.AddressScope, a.ID, "bob")
	pooled := c.share(alice, rbac.SubnetPool, p.ID, "bob")
	c.refused(alice, "InvalidInput", retarget(pooled, "carol"))
	c.refused(alice, "RbacPolicyInUse", unshare(scoped))
	other := c.scope(alice, neutrino.AddressScope{})
	c.refused(alice, "InvalidInput", updatePool(p.ID, func(p *neutrino.SubnetPool) { p.AddressScopeID = other.ID }, "address_scope_id"))
	n := c.network(bob, neutrino.Network{})
	s := c.cut(bob, n, p, 24)
	c.refused(alice, "RbacPolicyInUse", unshare(pooled))
	c.do(bob, func(tx *Tx) error { return DeleteSubnet(tx, s.ID) })
	c.do(alice, unshare(pooled))
	c.do(alice, unshare(scoped))
	c.refused(admin, "InvalidInput", makePool("10.5.0.0/16", func(p *neutrino.SubnetPool) { p.AddressScopeID, p.Shared = a.ID, true }))
}

// Networks that an older version stored have the flags in their rows.
func TestFlagsOfAnOlderVersionBecomePolicies(t *testing.T) {
	c := newCloud(t)
	n := c.network(alice, neutrino.Network{})
	c.do(admin, func(tx *Tx) error {
		old := *n
		old.Shared, old.External = true, true
		store.Put(tx.Tx, store.Networks, &old)
		return nil
	})
	for range 2 {
		if err := c.s.Adopt(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := c.targets(n.ID), []string{"access_as_external *", "access_as_shared *"}; !slices.Equal(got, want) {
		t.Errorf("policies %v", got)
	}
	if now, _ := store.Peek(c.db.Snapshot(), store.Networks, n.ID); now.Shared || now.External {
		t.Error("the flags are still stored")
	}
	c.do(bob, create(neutrino.Port{NetworkID: n.ID}))
}

// Two requests on shares and pools that meet: the second runs, whole, between
// the work and the commit of the first; the audit then finds what dangles, and
// what is used by a project that may not.
func TestSharesAndPoolsMeet(t *testing.T) {
	names, pairs := newShares(t).requests(), 0
	for first := range names {
		for second := range names {
			if pairs++; testing.Short() && pairs%4 != 0 {
				continue
			}
			t.Run(first+" while "+second, func(t *testing.T) {
				s := newShares(t)
				list, attempts := s.requests(), 0
				_ = s.try(admin, func(tx *Tx) error {
					tx.Caller = list[first].who
					err := list[first].do(tx)
					if attempts++; attempts == 1 {
						_ = s.try(list[second].who, list[second].do)
					}
					return err
				})
				s.checkUses()
			})
		}
	}
}

type shares struct {
	*cloud
	network, outside, foreign, spare *neutrino.Network
	subnet                           *neutrino.Subnet
	group                            *neutrino.SecurityGroup
	pool, other, grown               *neutrino.SubnetPool
	scope, scope2                    *neutrino.AddressScope
	net, out, grp, pl, sc            *neutrino.RBACPolicy
}

func newShares(t *testing.T) *shares {
	c := newCloud(t)
	s := &shares{cloud: c, network: c.network(alice, neutrino.Network{}), outside: c.network(alice, neutrino.Network{}),
		foreign: c.network(bob, neutrino.Network{}), spare: c.network(bob, neutrino.Network{}), group: c.group(alice, "g"),
		scope: c.scope(alice, neutrino.AddressScope{}), scope2: c.scope(alice, neutrino.AddressScope{})}
	s.subnet = c.subnet(alice, s.network, "10.0.0.0/24")
	c.subnet(alice, s.outside, "203.0.113.0/28")
	s.pool = c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.1.0.0/24"), AddressScopeID: s.scope.ID})
	s.other = c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.2.0.0/24")})
	s.grown = c.pool(alice, neutrino.SubnetPool{Prefixes: cidrs("10.3.0.0/24"), AddressScopeID: s.scope.ID})
	s.net = c.share(alice, rbac.Network, s.network.ID, "bob")
	s.grp = c.share(alice, rbac.SecurityGroup, s.group.ID, "bob")
	s.sc = c.share(alice, rbac.AddressScope, s.scope.ID, "bob")
	s.pl = c.share(alice, rbac.SubnetPool, s.pool.ID, "bob")
	c.do(alice, allow(neutrino.RBACPolicy{ObjectType: rbac.Network, ObjectID: s.outside.ID, Action: neutrino.AccessAsExternal, TargetProject: "bob"}, &s.out))
	return s
}

type asked struct {
	who Caller
	do  func(*Tx) error
}

func (s *shares) requests() map[string]asked {
	bits := func(n int) subnetpool.Request { return subnetpool.Request{PrefixLen: &n} }
	of := func(p *neutrino.SubnetPool, n *neutrino.Network) neutrino.Subnet {
		return neutrino.Subnet{NetworkID: n.ID, SubnetPoolID: p.ID}
	}
	return map[string]asked{
		"unshare network": {alice, unshare(s.net)},
		"move share":      {alice, retarget(s.net, "carol")},
		"internal":        {alice, unshare(s.out)},
		"unshare group":   {alice, unshare(s.grp)},
		"unshare pool":    {alice, unshare(s.pl)},
		"unshare scope":   {alice, unshare(s.sc)},
		"delete network":  {alice, func(tx *Tx) error { return DeleteNetwork(tx, s.network.ID) }},
		"delete group":    {alice, func(tx *Tx) error { return DeleteSecurityGroup(tx, s.group.ID) }},
		"delete pool":     {alice, func(tx *Tx) error { return subnetpool.Delete(tx, s.pool.ID) }},
		"delete scope":    {alice, func(tx *Tx) error { return addressscope.Delete(tx, s.scope2.ID) }},
		"share the same":  {alice, share(rbac.Network, s.network.ID, "carol", nil)},
		"share a pool":    {alice, share(rbac.SubnetPool, s.grown.ID, "bob", nil)},
		"foreign port":    {bob, create(neutrino.Port{NetworkID: s.network.ID})},
		"foreign gateway": {bob, func(tx *Tx) error {
			_, err := CreateRouter(tx, neutrino.Router{Gateway: &neutrino.Gateway{NetworkID: s.outside.ID}}, nil)
			return err
		}},
		"foreign floating": {bob, createFloating(neutrino.FloatingIP{FloatingNetworkID: s.outside.ID})},
		"foreign member": {bob, func(tx *Tx) error {
			_, err := CreatePort(tx, neutrino.Port{NetworkID: s.foreign.ID, SecurityGroups: []neutrino.ID{s.group.ID}}, fieldsOf("security_groups"))
			return err
		}},
		"foreign subnet": {bob, cut(of(s.pool, s.foreign), bits(26), nil)},
		"small subnet":   {bob, cut(of(s.pool, s.spare), bits(28), nil)},
		"onboard":        {alice, func(tx *Tx) error { _, err := subnetpool.Onboard(tx, s.other.ID, s.network.ID); return err }},
		"plain subnet":   {alice, cut(subnetIn(s.network, "10.7.0.0/24"), subnetpool.Request{}, nil)},
		"onboarded goes": {alice, func(tx *Tx) error { return DeleteSubnet(tx, s.subnet.ID) }},
		"shrink pool": {alice, func(tx *Tx) error {
			_, err := subnetpool.RemovePrefixes(tx, s.pool.ID, cidrs("10.1.0.0/25"))
			return err
		}},
		"grow pool":       {alice, func(tx *Tx) error { _, err := subnetpool.AddPrefixes(tx, s.grown.ID, cidrs("10.8.0.0/24")); return err }},
		"grow other pool": {alice, func(tx *Tx) error { _, err := subnetpool.AddPrefixes(tx, s.pool.ID, cidrs("10.8.0.0/25")); return err }},
		"leave scope":     {alice, updatePool(s.pool.ID, func(p *neutrino.SubnetPool) { p.AddressScopeID = "" }, "address_scope_id")},
		"join scope":      {alice, updatePool(s.other.ID, func(p *neutrino.SubnetPool) { p.AddressScopeID = s.scope2.ID }, "address_scope_id")},
	}
}

// checkUses finds uses of what is not shared with the user, and prefixes that
// two pools of one scope have.
func (s *shares) checkUses() {
	s.t.Helper()
	snap := s.db.Snapshot()
	for p := range store.All(snap, store.Ports) {
		n, _ := store.Peek(snap, store.Networks, p.NetworkID)
		if p.ProjectID != "" && !work.Owns(Caller{ProjectID: p.ProjectID}, n.ProjectID) && !work.SharesNetwork(Caller{ProjectID: p.ProjectID}, snap, n) {
			s.t.Errorf("port %s of %s is on a network that is not shared with it", p.ID, p.ProjectID)
		}
		for _, id := range p.SecurityGroups {
			if g, ok := store.Peek(snap, store.SecurityGroups, id); !ok || !work.VisibleSecurityGroup(Caller{ProjectID: p.ProjectID}, snap, g) {
				s.t.Errorf("port %s of %s is in a group that is not shared with it", p.ID, p.ProjectID)
			}
		}
	}
	for f := range store.All(snap, store.FloatingIPs) {
		if n, _ := store.Peek(snap, store.Networks, f.FloatingNetworkID); !work.UsesExternal(Caller{ProjectID: f.ProjectID}, snap, n) {
			s.t.Errorf("floating IP %s is on a network that is not shared with %s", f.ID, f.ProjectID)
		}
	}
	for r := range store.All(snap, store.Routers) {
		if n, _ := store.Peek(snap, store.Networks, r.Gateway.NetworkID); !work.UsesExternal(Caller{ProjectID: r.ProjectID}, snap, n) {
			s.t.Errorf("router %s has a gateway that is not shared with %s", r.ID, r.ProjectID)
		}
	}
	for sub := range store.All(snap, store.Subnets) {
		if p, ok := store.Peek(snap, store.SubnetPools, sub.SubnetPoolID); ok && !work.VisibleSubnetPool(Caller{ProjectID: sub.ProjectID}, snap, p) {
			s.t.Errorf("subnet %s is of a pool that is not shared with %s", sub.ID, sub.ProjectID)
		}
	}
	s.checkScopes(snap)
}

func (s *shares) checkScopes(snap *store.Snapshot) {
	for p := range store.All(snap, store.SubnetPools) {
		for _, share := range slices.Collect(store.By(snap, store.RBACPoliciesByObject, string(p.ID))) {
			if p.AddressScopeID != "" && !work.Granted(snap, neutrino.AccessAsShared, p.AddressScopeID, share.TargetProject) {
				s.t.Errorf("pool %s is shared with %s, its scope is not", p.ID, share.TargetProject)
			}
		}
		for q := range store.By(snap, store.SubnetPoolsByScope, string(p.AddressScopeID)) {
			for _, prefix := range q.Prefixes {
				if q.ID != p.ID && slices.ContainsFunc(p.Prefixes, prefix.Overlaps) {
					s.t.Errorf("pools %s and %s of one scope overlap", p.ID, q.ID)
				}
			}
		}
	}
}
