package view_test

import (
	"net/netip"
	"testing"

	"neutrino"
	"neutrino/store"
	"neutrino/view"
)

// A network carries the marks of its subnets' address scopes to the hosts that
// have it, and a pool that changes its scope is told to those alone.
func TestANetworkHasTheMarksOfItsScopes(t *testing.T) {
	db := cloud(t)
	update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.HostScopes, &neutrino.HostScope{Host: "c1", ScopeID: "a", Mark: 1030})
		store.Put(tx, store.HostScopes, &neutrino.HostScope{Host: "c1", ScopeID: "b", Mark: 1031})
		store.Put(tx, store.HostScopes, &neutrino.HostScope{Host: "c1", ScopeID: "six", Mark: 1032})
		store.Put(tx, store.SubnetPools, &neutrino.SubnetPool{ID: "p4", AddressScopeID: "a"})
		store.Put(tx, store.SubnetPools, &neutrino.SubnetPool{ID: "p6", AddressScopeID: "six"})
		store.Put(tx, store.Networks, &neutrino.Network{ID: "scoped", NetworkType: neutrino.GRE})
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: "scoped", LocalVLAN: 9})
		store.Put(tx, store.Subnets, &neutrino.Subnet{ID: "s4", NetworkID: "scoped", IPVersion: 4, SubnetPoolID: "p4", CIDR: netip.MustParsePrefix("10.9.0.0/24")})
		store.Put(tx, store.Subnets, &neutrino.Subnet{ID: "s6", NetworkID: "scoped", IPVersion: 6, SubnetPoolID: "p6", CIDR: netip.MustParsePrefix("2001:db8::/64")})
	})
	if n := view.For(db.Snapshot(), "c1").Networks["scoped"]; n.ScopeIPv4 != 1030 || n.ScopeIPv6 != 1032 {
		t.Errorf("marks %d and %d", n.ScopeIPv4, n.ScopeIPv6)
	}
	changes := update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.SubnetPools, &neutrino.SubnetPool{ID: "p4", AddressScopeID: "b"})
	})
	if got := view.Touched(db.Snapshot(), changes); !got["c1"] || len(got) != 1 {
		t.Errorf("another scope touched %v, want c1 alone", got)
	}
	if n := view.For(db.Snapshot(), "c1").Networks["scoped"]; n.ScopeIPv4 != 1031 {
		t.Errorf("mark %d", n.ScopeIPv4)
	}
	changes = update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.SubnetPools, &neutrino.SubnetPool{ID: "p4", AddressScopeID: "b", Name: "other"})
	})
	if got := view.Touched(db.Snapshot(), changes); len(got) != 0 {
		t.Errorf("another name touched %v", got)
	}
}
