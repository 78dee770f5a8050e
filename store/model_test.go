package store_test

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
)

// model is the ports table as a plain map.
type model map[neutrino.ID]*neutrino.Port

func (m model) by(match func(*neutrino.Port) bool) []neutrino.ID {
	var ids []neutrino.ID
	for id, p := range m {
		if match(p) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

var networks = []string{"n", "n1", "n1\x00", "n2"}

func anyID(t *rapid.T) neutrino.ID {
	return neutrino.ID(fmt.Sprint("port-", rapid.IntRange(0, 12).Draw(t, "id")))
}

func anyPort(t *rapid.T) *neutrino.Port {
	p := &neutrino.Port{
		ID:        anyID(t),
		NetworkID: neutrino.ID(rapid.SampledFrom(networks).Draw(t, "network")),
		HostID:    rapid.SampledFrom([]string{"", "h1", "h2"}).Draw(t, "host"),
		ProjectID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "project"),
		MAC:       neutrino.MAC{5: rapid.ByteRange(0, 2).Draw(t, "mac")},
	}
	p.CreatedAt = time.Unix(rapid.Int64Range(-2, 2).Draw(t, "seconds"), rapid.Int64Range(0, 2).Draw(t, "nanoseconds")).UTC()
	for range rapid.IntRange(0, 3).Draw(t, "addresses") {
		last := rapid.ByteRange(1, 4).Draw(t, "address")
		p.FixedIPs = append(p.FixedIPs, neutrino.FixedIP{SubnetID: "s", IPAddress: netip.AddrFrom4([4]byte{10, 0, 0, last})})
		p.SecurityGroups = append(p.SecurityGroups, neutrino.ID(fmt.Sprint("g", last)))
	}
	return p
}

func ids(rows func(func(*neutrino.Port) bool)) []neutrino.ID {
	var out []neutrino.ID
	for p := range rows {
		out = append(out, p.ID)
	}
	return out
}

// agree looks whether a reader says the same as the model, through every way
// to ask.
func agree(t *rapid.T, r store.Reader, m model) {
	check := func(what string, got, want []neutrino.ID) {
		if !slices.Equal(got, want) {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
	}
	by := func(ix *store.Index[neutrino.Port], key string, match func(*neutrino.Port) bool) {
		check(ix.Name()+" "+key, ids(store.By(r, ix, key)), m.by(match))
		if n := store.Count(r, ix, key); n != len(m.by(match)) {
			t.Fatalf("%s %s: %d", ix.Name(), key, n)
		}
	}
	check("all", ids(store.All(r, store.Ports)), m.by(func(*neutrino.Port) bool { return true }))
	for _, n := range networks {
		by(store.PortsByNetwork, n, func(p *neutrino.Port) bool { return string(p.NetworkID) == n })
	}
	for _, h := range []string{"h1", "h2"} {
		by(store.PortsByHost, h, func(p *neutrino.Port) bool { return p.HostID == h })
	}
	for _, project := range []string{"", "a", "b", "c"} { // an index that is counted
		by(store.PortsByProject, project, func(p *neutrino.Port) bool { return p.ProjectID == project })
	}
	by(store.PortsByHost, "", func(*neutrino.Port) bool { return false })
	by(store.PortsBySubnet, "s", func(p *neutrino.Port) bool { return len(p.FixedIPs) > 0 })
	for i := range byte(5) {
		ip, mac := netip.AddrFrom4([4]byte{10, 0, 0, i}), neutrino.MAC{5: i}
		by(store.PortsByIP, ip.String(), func(p *neutrino.Port) bool {
			return slices.ContainsFunc(p.FixedIPs, func(f neutrino.FixedIP) bool { return f.IPAddress == ip })
		})
		by(store.PortsByGroup, fmt.Sprint("g", i), func(p *neutrino.Port) bool {
			return slices.Contains(p.SecurityGroups, neutrino.ID(fmt.Sprint("g", i)))
		})
		by(store.PortsByMAC, mac.String(), func(p *neutrino.Port) bool { return p.MAC == mac })
	}
	if s, ok := r.(*store.Snapshot); ok {
		walks(t, s, m, check)
	}
	for i := range 13 {
		id := neutrino.ID(fmt.Sprint("port-", i))
		got, ok := store.Peek(r, store.Ports, id)
		if want, in := m[id]; ok != in || in && got.MAC != want.MAC {
			t.Fatalf("%s: %v %v", id, got, ok)
		}
	}
}

// walks looks whether every walk goes through the same rows in its order.
func walks(t *rapid.T, s *store.Snapshot, m model, check func(what string, got, want []neutrino.ID)) {
	w := store.Way{Back: rapid.Bool().Draw(t, "back"), KeysBack: rapid.Bool().Draw(t, "keys back")}
	if all := m.by(func(*neutrino.Port) bool { return true }); len(all) > 0 && rapid.Bool().Draw(t, "from a row") {
		w.From = rapid.SampledFrom(all).Draw(t, "from")
	}
	byID := func(a, b *neutrino.Port) int { return 0 }
	byNetwork := func(a, b *neutrino.Port) int { return strings.Compare(string(a.NetworkID), string(b.NetworkID)) }
	byTime := func(a, b *neutrino.Port) int { return a.CreatedAt.Compare(b.CreatedAt) }
	order := func(key func(a, b *neutrino.Port) int) func(a, b neutrino.ID) int {
		return func(a, b neutrino.ID) int {
			if c := key(m[a], m[b]); c != 0 {
				if w.KeysBack {
					return -c
				}
				return c
			}
			if w.Back {
				return strings.Compare(string(b), string(a))
			}
			return strings.Compare(string(a), string(b))
		}
	}
	// after is what a walk in the order yields of the ports.
	after := func(ids []neutrino.ID, order func(a, b neutrino.ID) int) []neutrino.ID {
		slices.SortFunc(ids, order)
		if w.From == "" {
			return ids
		}
		return slices.DeleteFunc(ids, func(id neutrino.ID) bool { return order(id, w.From) <= 0 })
	}
	check("walk", ids(store.Walk(s, store.Ports, w)), after(m.by(func(*neutrino.Port) bool { return true }), order(byID)))
	check("walk by network", ids(store.WalkIndex(s, store.PortsByNetwork, w)), after(m.by(func(*neutrino.Port) bool { return true }), order(byNetwork)))
	check("walk by time", ids(store.WalkIndex(s, store.PortsByCreated, w)), after(m.by(func(*neutrino.Port) bool { return true }), order(byTime)))
	for _, n := range networks {
		check("walk network "+n, ids(store.WalkKey(s, store.PortsByNetwork, n, w)),
			after(m.by(func(p *neutrino.Port) bool { return string(p.NetworkID) == n }), order(byID)))
	}
}

// The tables, their indexes and the overlay of a transaction say at each moment
// the same as a plain map; a snapshot goes on saying what it said; and what is
// loaded afresh from the engine equals what was kept current by watching.
func TestTablesAndIndexesEqualAPlainMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		e, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
		if err != nil {
			rt.Fatal(err)
		}
		defer e.Close()
		db, err := store.Open(t.Context(), e)
		if err != nil {
			rt.Fatal(err)
		}
		defer db.Close()
		m := model{}
		for range rapid.IntRange(1, 8).Draw(rt, "transactions") {
			before, old := db.Snapshot(), maps.Clone(m)
			if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
				for range rapid.IntRange(0, 5).Draw(rt, "writes") {
					if rapid.Bool().Draw(rt, "put") {
						p := anyPort(rt)
						m[p.ID] = p
						store.Put(tx, store.Ports, p)
					} else {
						id := anyID(rt)
						delete(m, id)
						store.Delete(tx, store.Ports, id)
					}
				}
				agree(rt, tx, m)
				return nil
			}); err != nil {
				rt.Fatal(err)
			}
			agree(rt, before, old)
			agree(rt, db.Snapshot(), m)
		}
		fresh, err := store.Open(t.Context(), e)
		if err != nil {
			rt.Fatal(err)
		}
		defer fresh.Close()
		agree(rt, fresh.Snapshot(), m)
	})
}
