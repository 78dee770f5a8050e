package mark

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
	"neutrino/store/storetest"
)

// hosts is a store in which networks come to hosts.
type hosts struct {
	*testing.T
	db *store.DB
}

func (h hosts) do(f func(*work.Tx)) {
	h.Helper()
	if _, err := h.db.Update(h.Context(), func(t *store.Tx) error {
		tx := work.Begin(t, work.Caller{Admin: true})
		tx.Rand = rand.New(rand.NewPCG(1, 2))
		f(tx)
		return nil
	}); err != nil {
		h.Fatal(err)
	}
}

// scoped makes a network with a subnet of a pool in a scope of the same name.
func scoped(tx *work.Tx, name string, cloudWide uint16) {
	store.Put(tx.Tx, store.AddressScopes, &neutrino.AddressScope{ID: neutrino.ID("scope-" + name), IPVersion: 4, Mark: cloudWide})
	store.Put(tx.Tx, store.SubnetPools, &neutrino.SubnetPool{ID: neutrino.ID("pool-" + name), AddressScopeID: neutrino.ID("scope-" + name)})
	store.Put(tx.Tx, store.Networks, &neutrino.Network{ID: neutrino.ID(name)})
	store.Put(tx.Tx, store.Subnets, &neutrino.Subnet{ID: neutrino.ID("subnet-" + name), NetworkID: neutrino.ID(name), IPVersion: 4,
		SubnetPoolID: neutrino.ID("pool-" + name)})
}

func present(tx *work.Tx, host, network string) bool {
	store.Put(tx.Tx, store.HostNetworks, &neutrino.HostNetwork{Host: host, NetworkID: neutrino.ID(network), LocalVLAN: 1})
	return Arrive(tx, host, neutrino.ID(network))
}

// mark is the scope's on the host, 0 for none.
func (h hosts) mark(host, name string) uint16 {
	row, ok := store.Peek(h.db.Snapshot(), store.HostScopes, store.HostScopeID(host, neutrino.ID("scope-"+name)))
	if !ok {
		return 0
	}
	return row.Mark
}

// The row of the issue, in the allocator: all marks of a host are given out, and
// most of their scopes are there no more. Another project's scope gets one all the
// same, and those that are there keep theirs; another host does not notice.
func TestFullHostHasMarksForNewcomers(t *testing.T) {
	h := hosts{t, storetest.Open(t)}
	h.do(func(tx *work.Tx) {
		scoped(tx, "old", 0)
		scoped(tx, "new", 0)
		present(tx, "c1", "old")
	})
	old := h.mark("c1", "old")
	for from := int(neutrino.FirstScopeMark); from <= int(neutrino.LastScopeMark); from += 4000 {
		h.do(func(tx *work.Tx) {
			for m := from; m < from+4000 && m <= int(neutrino.LastScopeMark); m++ {
				id := neutrino.ID(fmt.Sprint("gone-", m))
				if tx.Claim(work.HostMarkClaim("c1", uint16(m)), string(id)) {
					store.Put(tx.Tx, store.HostScopes, &neutrino.HostScope{Host: "c1", ScopeID: id, Mark: uint16(m)})
				}
			}
		})
	}
	if n := store.Count(h.db.Snapshot(), store.HostScopesByHost, "c1"); n != marks {
		t.Fatalf("%d of %d marks are given out", n, marks)
	}
	h.do(func(tx *work.Tx) {
		if !present(tx, "c1", "new") || !present(tx, "c2", "new") {
			t.Error("a host has no mark for a scope")
		}
	})
	if h.mark("c1", "new") == 0 || h.mark("c2", "new") == 0 || h.mark("c1", "old") != old {
		t.Errorf("new has %d and %d, old %d, which was %d", h.mark("c1", "new"), h.mark("c2", "new"), h.mark("c1", "old"), old)
	}
	if n := store.Count(h.db.Snapshot(), store.HostScopesByHost, "c1"); n != marks-sweepMost+1 {
		t.Errorf("%d marks are given out", n)
	}
}

// A store of before has one mark for each scope in the whole cloud. They stay as
// they are, so that an agent has nothing to write.
func TestMarksOfTheCloudStayOnTheHosts(t *testing.T) {
	h := hosts{t, storetest.Open(t)}
	h.do(func(tx *work.Tx) {
		for i, name := range []string{"a", "b", "c"} {
			scoped(tx, name, neutrino.FirstScopeMark+uint16(i))
			store.Put(tx.Tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: neutrino.ID(name)})
		}
		store.Put(tx.Tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c2", NetworkID: "b"})
	})
	more := true
	h.do(func(tx *work.Tx) { more = Adopt(tx) })
	if more {
		t.Error("there is more to do")
	}
	if got := [...]uint16{h.mark("c1", "a"), h.mark("c1", "b"), h.mark("c1", "c"), h.mark("c2", "b"), h.mark("c2", "a")}; got != [...]uint16{1025, 1026, 1027, 1026, 0} {
		t.Errorf("marks %v", got)
	}
	before := h.db.Snapshot().Revision()
	h.do(func(tx *work.Tx) { Adopt(tx) })
	if h.db.Snapshot().Revision() != before {
		t.Error("a second start writes")
	}
}

// A mark stays with its scope on the host while networks come and go, and goes with
// the scope.
func TestMarkStaysUntilTheScopeGoes(t *testing.T) {
	h := hosts{t, storetest.Open(t)}
	h.do(func(tx *work.Tx) {
		scoped(tx, "a", 0)
		present(tx, "c1", "a")
	})
	first := h.mark("c1", "a")
	h.do(func(tx *work.Tx) {
		store.Delete(tx.Tx, store.HostNetworks, store.HostNetworkID("c1", "a"))
		Leave(tx, "c1", "a")
	})
	h.do(func(tx *work.Tx) { present(tx, "c1", "a") })
	if again := h.mark("c1", "a"); first == 0 || again != first {
		t.Errorf("the mark was %d and is %d", first, again)
	}
	h.do(func(tx *work.Tx) {
		a, _ := store.Get(tx.Tx, store.AddressScopes, "scope-a")
		Forget(tx, a)
	})
	if h.mark("c1", "a") != 0 {
		t.Error("a scope that is gone has a mark")
	}
	for key := range store.Claims(h.db.Snapshot(), "host-mark/") {
		t.Errorf("%s is held for nobody", key)
	}
}
