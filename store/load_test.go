package store_test

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
	"neutrino/store/identity"
)

// A port with more addresses and groups than most is under all of them after a
// start. It once made the start panic.
func TestAPortWithManyAddressesIsFoundAfterAReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	const many = 20
	p := numbered(1, netA, subnetA)
	p.FixedIPs, p.SecurityGroups = nil, nil
	for i := range byte(many) {
		p.FixedIPs = append(p.FixedIPs, neutrino.FixedIP{SubnetID: subnetA, IPAddress: netip.AddrFrom4([4]byte{10, 0, 0, i})})
		p.SecurityGroups = append(p.SecurityGroups, neutrino.ID(fmt.Sprint("group-", i)))
	}
	update(t, db, func(tx *store.Tx) { store.Put(tx, store.Ports, p) })
	check := func(when string, s *store.Snapshot) {
		t.Helper()
		for i := range byte(many) {
			ip := netip.AddrFrom4([4]byte{10, 0, 0, i}).String()
			if n := store.Count(s, store.PortsByIP, ip); n != 1 {
				t.Errorf("%s: %d ports with %s", when, n, ip)
			}
			if n := store.Count(s, store.PortsByGroup, fmt.Sprint("group-", i)); n != 1 {
				t.Errorf("%s: %d ports in group %d", when, n, i)
			}
		}
		if n := store.Count(s, store.PortsBySubnet, string(subnetA)); n != 1 {
			t.Errorf("%s: %d ports of the subnet", when, n)
		}
	}
	check("before", db.Snapshot())
	if err := errors.Join(db.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}
	check("after", openDB(t, path).Snapshot())
}

// What a store is called is in every snapshot: what was there at the start, and
// what is signed while it is open.
func TestSnapshotsSayWhoseTheyAre(t *testing.T) {
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	first, err := identity.Begin(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := db.Snapshot().Position(); got.Life != first.Life || got.Revision != 1 {
		t.Errorf("at the start %+v", got)
	}
	next, err := identity.Sign(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Wait(t.Context(), next.Revision); err != nil {
		t.Fatal(err)
	}
	if got := db.Snapshot().Position(); got.Life != next.Life || got.Cluster != first.Cluster || got.Revision != 2 || len(got.Past) != 1 {
		t.Errorf("after the signing %+v", got)
	}
}
