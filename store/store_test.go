package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine"
	"neutrino/store/engine/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	netA    neutrino.ID = "aaaaaaaa-0000-4000-8000-000000000000"
	netB    neutrino.ID = "bbbbbbbb-0000-4000-8000-000000000000"
	subnetA neutrino.ID = "aaaaaaaa-1111-4000-8000-000000000000"
)

// update is an Update that must succeed.
func update(t *testing.T, db *store.DB, f func(*store.Tx)) store.Revision {
	t.Helper()
	rev, err := db.Update(t.Context(), func(tx *store.Tx) error { f(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func putNetwork(t *testing.T, db *store.DB, id neutrino.ID, name string) store.Revision {
	t.Helper()
	return update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.Networks, &neutrino.Network{ID: id, Name: name, NetworkType: neutrino.GRE, SegmentationID: 7})
	})
}

func names(ports iter.Seq[*neutrino.Port]) string {
	var out []string
	for p := range ports {
		out = append(out, p.Name)
	}
	return strings.Join(out, " ")
}

func TestWhatWasStoredIsThereAfterAReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	port := numbered(1, netA, subnetA)
	update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.Ports, port)
		store.Put(tx, store.Hosts, &neutrino.Host{Name: "compute1", Registration: neutrino.Registration{Host: "compute1", HybridPlug: true}})
		tx.Claim("mac/1", "owner")
	})
	update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "compute1", NetworkID: netA, LocalVLAN: 3})
	})
	if err := errors.Join(db.Close(), e.Close()); err != nil {
		t.Fatal(err)
	}

	s := openDB(t, path).Snapshot()
	got, ok := store.Get(s, store.Ports, port.ID)
	if !ok || cmp.Diff(port, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }), cmp.Comparer(func(a, b neutrino.FixedIP) bool { return a == b })) != "" {
		t.Errorf("port: %+v", got)
	}
	if h, ok := store.Get(s, store.Hosts, "compute1"); !ok || !h.HybridPlug {
		t.Errorf("host: %+v", h)
	}
	if hn, ok := store.Get(s, store.HostNetworks, store.HostNetworkID("compute1", netA)); !ok || hn.LocalVLAN != 3 {
		t.Errorf("host network: %+v", hn)
	}
	if owner, held := s.Holder("mac/1"); !held || owner != "owner" {
		t.Errorf("claim: %q %v", owner, held)
	}
	if n := store.Count(s, store.PortsByNetwork, string(netA)); n != 1 || s.Revision() != 2 {
		t.Errorf("%d ports by network at revision %d", n, s.Revision())
	}
	if rev := store.ModRevision(s, store.Ports, port.ID); rev != 1 {
		t.Errorf("the port is of revision %d", rev)
	}
}

func TestASnapshotDoesNotChange(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	putNetwork(t, db, netA, "first")
	before := db.Snapshot()
	putNetwork(t, db, netA, "second")
	putNetwork(t, db, netB, "other")
	update(t, db, func(tx *store.Tx) { tx.Claim("k", "o") })
	if n, _ := store.Get(before, store.Networks, netA); n.Name != "first" {
		t.Errorf("the old snapshot says %q", n.Name)
	}
	if _, held := before.Holder("k"); held || store.Count(before, store.NetworksBySegment, "gre/7") != 1 {
		t.Error("the old snapshot shows what came later")
	}
	if n, _ := store.Get(db.Snapshot(), store.Networks, netA); n.Name != "second" {
		t.Errorf("the new snapshot says %q", n.Name)
	}
}

func TestARefusalWritesNothing(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	rev := putNetwork(t, db, netA, "a")
	refusal := neutrino.Errorf(neutrino.Conflict, "InUse", "no")
	_, err := db.Update(t.Context(), func(tx *store.Tx) error {
		store.Delete(tx, store.Networks, netA)
		tx.Claim("k", "o")
		return refusal
	})
	if err != refusal {
		t.Errorf("error %v", err)
	}
	if got := update(t, db, func(tx *store.Tx) { store.Get(tx, store.Networks, netA) }); got != rev {
		t.Errorf("a transaction without writes is of revision %d, want %d", got, rev)
	}
	if s := db.Snapshot(); s.Revision() != rev || store.Count(s, store.NetworksByName, "a") != 1 {
		t.Error("the refused transaction left something")
	}
	update(t, db, func(tx *store.Tx) {
		if !tx.ClaimFree("k", "o") {
			t.Error("the refused claim is still reserved")
		}
	})
}

func TestATransactionSeesItsOwnWrites(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	ports := make([]*neutrino.Port, 6)
	for i := range ports {
		ports[i] = numbered(uint32(i), netA, subnetA)
		ports[i].ID = neutrino.ID(fmt.Sprint(i))
	}
	update(t, db, func(tx *store.Tx) {
		for _, i := range []int{1, 3, 5} {
			store.Put(tx, store.Ports, ports[i])
		}
		tx.Claim("n/1", "1")
		tx.Claim("n/3", "3")
	})
	update(t, db, func(tx *store.Tx) {
		for _, i := range []int{4, 0, 2} {
			store.Put(tx, store.Ports, ports[i])
		}
		store.Delete(tx, store.Ports, "3")
		moved := *ports[5]
		moved.NetworkID = netB
		store.Put(tx, store.Ports, &moved)
		if got := names(store.By(tx, store.PortsByNetwork, string(netA))); got != "port-0 port-1 port-2 port-4" {
			t.Errorf("by network A: %s", got)
		}
		if got := names(store.By(tx, store.PortsByNetwork, string(netB))); got != "port-5" {
			t.Errorf("by network B: %s", got)
		}
		if got := names(store.All(tx, store.Ports)); got != "port-0 port-1 port-2 port-4 port-5" {
			t.Errorf("all: %s", got)
		}
		if store.Exists(tx, store.Ports, "3") || !store.Exists(tx, store.Ports, "2") || store.Exists(tx, store.Ports, "9") {
			t.Error("what exists is wrong")
		}
		if _, ok := store.Get(tx, store.Ports, "3"); ok {
			t.Error("a deleted row is there")
		}
		if tx.Claim("n/1", "x") || !tx.Claim("n/2", "2") || tx.Claim("n/2", "2") {
			t.Error("claims are taken twice or not at all")
		}
		tx.Release("n/3")
		got := ""
		for key, owner := range store.Claims(tx, "n/") {
			got += key + "=" + owner + " "
		}
		if got != "n/1=1 n/2=2 " {
			t.Errorf("claims: %s", got)
		}
		if !tx.Claim("n/3", "again") {
			t.Error("a released claim cannot be taken")
		}
	})
	if got := names(store.All(db.Snapshot(), store.Ports)); got != "port-0 port-1 port-2 port-4 port-5" {
		t.Errorf("after it: %s", got)
	}
	if owner, _ := db.Snapshot().Holder("n/3"); owner != "again" {
		t.Errorf("n/3 is held by %q", owner)
	}
}

func TestIteratingWhileWritingShowsTheRowsOfTheBeginning(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	update(t, db, func(tx *store.Tx) {
		for i := range 5 {
			store.Put(tx, store.Ports, numbered(uint32(i), netA, subnetA))
		}
	})
	update(t, db, func(tx *store.Tx) {
		seen := 0
		for range store.By(tx, store.PortsByNetwork, string(netA)) {
			seen++
			for i := range 5 {
				store.Delete(tx, store.Ports, numbered(uint32(i), netA, subnetA).ID)
			}
		}
		if seen != 5 || store.Count(tx, store.PortsByNetwork, string(netA)) != 0 {
			t.Errorf("saw %d rows", seen)
		}
	})
}

// The second of two transactions that read the same row runs again and sees
// what the first wrote.
func TestALostRaceRunsAgain(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	putNetwork(t, db, netA, "")
	const clients, each = 64, 5
	var wg sync.WaitGroup
	var runs atomic.Int64
	for range clients {
		wg.Go(func() {
			for range each {
				_, err := db.Update(t.Context(), func(tx *store.Tx) error {
					runs.Add(1)
					n, _ := store.Get(tx, store.Networks, netA)
					changed := *n
					changed.MTU++
					store.Put(tx, store.Networks, &changed)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, _ := store.Get(db.Snapshot(), store.Networks, netA); n.MTU != clients*each {
		t.Errorf("%d of %d increments", n.MTU, clients*each)
	}
	t.Logf("%d runs for %d increments", runs.Load(), clients*each)
}

// 64 clients that all want the lowest free address get 64 different ones.
func TestManyClientsAllocateFromOneSubnet(t *testing.T) {
	for name, claim := range map[string]func(*store.Tx, string, string) bool{
		"in strict order": (*store.Tx).Claim, "any free one": (*store.Tx).ClaimFree,
	} {
		t.Run(name, func(t *testing.T) {
			db := openDB(t, filepath.Join(t.TempDir(), "db"))
			var wg sync.WaitGroup
			var runs atomic.Int64
			start := time.Now()
			for c := range 64 {
				wg.Go(func() {
					if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
						runs.Add(1)
						for i := range 1000 {
							if claim(tx, fmt.Sprintf("ip/%03d", i), fmt.Sprint(c)) {
								return nil
							}
						}
						return errors.New("no address is free")
					}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			owners := map[string]bool{}
			for _, owner := range store.Claims(db.Snapshot(), "ip/") {
				owners[owner] = true
			}
			if len(owners) != 64 {
				t.Errorf("%d addresses", len(owners))
			}
			t.Logf("%d runs for 64 addresses in %v", runs.Load(), time.Since(start))
		})
	}
}

// race runs f, and lets the other server in between its reading and its commit.
func race(t *testing.T, f, meanwhile func(*store.Tx)) (runs int, err error) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	one, two := follower(t, e), follower(t, e)
	putNetwork(t, one, netA, "a")
	update(t, one, func(tx *store.Tx) { tx.Claim("port/a/1", "p"); tx.Claim("held", "x") })
	if err := two.Wait(t.Context(), one.Snapshot().Revision()); err != nil {
		t.Fatal(err)
	}
	_, err = one.Update(t.Context(), func(tx *store.Tx) error {
		f(tx)
		if runs++; runs == 1 {
			update(t, two, meanwhile)
		}
		return nil
	})
	return runs, err
}

func follower(t *testing.T, e engine.Engine) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestWhatLosesARaceAndWhatDoesNot(t *testing.T) {
	change := func(tx *store.Tx) {
		store.Put(tx, store.Networks, &neutrino.Network{ID: netA, Name: "changed"})
	}
	remove := func(tx *store.Tx) { store.Delete(tx, store.Networks, netA) }
	write := func(tx *store.Tx) { store.Put(tx, store.Ports, numbered(1, netA, subnetA)) }
	for _, c := range []struct {
		name         string
		f, meanwhile func(*store.Tx)
		runs         int
	}{
		{"a row that was read is changed", func(tx *store.Tx) { store.Get(tx, store.Networks, netA); write(tx) }, change, 2},
		{"a row that was looked at is changed", func(tx *store.Tx) { store.Peek(tx, store.Networks, netA); write(tx) }, change, 1},
		{"a row that must exist is changed", func(tx *store.Tx) { store.Exists(tx, store.Networks, netA); write(tx) }, change, 1},
		{"a row that must exist is deleted", func(tx *store.Tx) { store.Exists(tx, store.Networks, netA); write(tx) }, remove, 2},
		{"a row that was missed is made", func(tx *store.Tx) { store.Get(tx, store.Networks, netB); write(tx) },
			func(tx *store.Tx) { store.Put(tx, store.Networks, &neutrino.Network{ID: netB}) }, 2},
		{"a key is claimed by both", func(tx *store.Tx) { tx.Claim("k", "1") }, func(tx *store.Tx) { tx.Claim("k", "2") }, 2},
		{"different keys are claimed", func(tx *store.Tx) { tx.Claim("k", "1") }, func(tx *store.Tx) { tx.Claim("l", "2") }, 1},
		{"a key is released by both", func(tx *store.Tx) { tx.Release("held"); write(tx) }, func(tx *store.Tx) { tx.Release("held") }, 2},
		{"a claim comes where none may be", func(tx *store.Tx) { write(tx); tx.RequireNone("user/") },
			func(tx *store.Tx) { tx.Claim("user/1", "u") }, 2},
		{"a claim comes beside the last ones", func(tx *store.Tx) { tx.Release("port/a/1"); tx.RequireNone("port/a/") },
			func(tx *store.Tx) { tx.Claim("port/a/2", "p") }, 2},
		{"the last claim is released here", func(tx *store.Tx) { tx.Release("port/a/1"); tx.RequireNone("port/a/") },
			func(tx *store.Tx) { tx.Claim("port/b/1", "p") }, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			runs, err := race(t, c.f, c.meanwhile)
			if runs != c.runs {
				t.Errorf("it ran %d times, want %d (%v)", runs, c.runs, err)
			}
			if blocked := strings.HasPrefix(c.name, "a claim comes"); blocked != (err != nil && neutrino.AsError(err).Code == neutrino.Conflict) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// unlucky is an engine that can be made to lose, to fail or to forget.
type unlucky struct {
	engine.Engine
	lose, fail atomic.Bool
	forget     chan struct{} // closed: watches say that they are too far behind
}

func (u *unlucky) Txn(ctx context.Context, ifs []engine.Compare, then []engine.Op) (int64, bool, error) {
	if u.fail.Load() {
		return 0, false, fmt.Errorf("disk: %w", engine.ErrUnavailable)
	}
	if u.lose.Load() {
		ifs = append(slices.Clone(ifs), engine.Compare{Test: engine.Present, Key: "/no such key"})
	}
	return u.Engine.Txn(ctx, ifs, then)
}

func (u *unlucky) Watch(ctx context.Context, prefix string, from int64) iter.Seq2[[]engine.Batch, error] {
	return func(yield func([]engine.Batch, error) bool) {
		for b, err := range u.Engine.Watch(ctx, prefix, from) {
			select {
			case <-u.forget:
				u.forget = nil
				yield(nil, engine.ErrCompacted)
				return
			default:
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

func openUnlucky(t *testing.T) (*unlucky, *store.DB) {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	u := &unlucky{Engine: e, forget: make(chan struct{})}
	return u, follower(t, u)
}

func TestAStoreThatCannotWriteSaysSoAndRecovers(t *testing.T) {
	u, db := openUnlucky(t)
	write := func(tx *store.Tx) error { tx.Claim("k", "o"); return nil }
	u.lose.Store(true)
	if _, err := db.Update(t.Context(), write); err == nil || neutrino.AsError(err).Code != neutrino.Unavailable {
		t.Errorf("it always loses: %v", err)
	}
	u.lose.Store(false)
	u.fail.Store(true)
	if _, err := db.Update(t.Context(), write); neutrino.AsError(err).Code != neutrino.Unavailable || !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("the disk fails: %v", err)
	}
	u.fail.Store(false)
	if _, err := db.Update(t.Context(), write); err != nil {
		t.Error(err)
	}
}

func TestAStoreThatFellBehindLoadsAgain(t *testing.T) {
	u, db := openUnlucky(t)
	putNetwork(t, db, netA, "a")
	close(u.forget)
	rev := putNetwork(t, db, netB, "b") // returns when it is applied: after the loading
	if s := db.Snapshot(); s.Revision() != rev || store.Count(s, store.NetworksBySegment, "gre/7") != 2 {
		t.Errorf("revision %d of %d", s.Revision(), rev)
	}
	for _, err := range db.Watch(t.Context(), rev) {
		if !errors.Is(err, store.ErrListAgain) {
			t.Errorf("a watch over what was not seen: %v", err)
		}
	}
	if got := putNetwork(t, db, netA, "again"); got != rev+1 {
		t.Errorf("revision %d after %d", got, rev)
	}
}

// A group's hosts are found once each, however many ports they have, and follow
// the ports: bound, moved, out of the group, gone.
func TestKeysOfAnIndexAreYieldedOnce(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	const network, subnet = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	const group, longer = neutrino.ID("7a9d0f6c-2f38-4c53-a3e5-9b07e8a4a4c1"), neutrino.ID("7a9d0f6c-2f38-4c53-a3e5-9b07e8a4a4c2")
	var ports []*neutrino.Port
	for i := range 60 {
		p := numbered(uint32(i), network, subnet)
		p.HostID = []string{"a", "b", ""}[i%3]
		if i%10 == 0 {
			p.SecurityGroups = append(p.SecurityGroups, longer)
		}
		ports = append(ports, p)
	}
	put := func(change func(p *neutrino.Port)) {
		t.Helper()
		if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
			for _, p := range ports {
				q := *p
				change(&q)
				store.Put(tx, store.Ports, &q)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	keys := func(g neutrino.ID) []string {
		return slices.Collect(store.Keys(db.Snapshot(), store.PortsByGroupHost, store.GroupHost(g)))
	}
	prefix := store.GroupHost(group)
	put(func(*neutrino.Port) {})
	if got := keys(group); !slices.Equal(got, []string{prefix + "a", prefix + "b"}) {
		t.Errorf("hosts of the group: %q", got)
	}
	put(func(p *neutrino.Port) { p.HostID = "c" })
	if got := keys(group); !slices.Equal(got, []string{prefix + "c"}) {
		t.Errorf("after all have moved: %q", got)
	}
	put(func(p *neutrino.Port) { p.HostID, p.SecurityGroups = "c", nil })
	if got := append(keys(group), keys(longer)...); len(got) != 0 {
		t.Errorf("after all have left: %q", got)
	}
	for range store.Keys(db.Snapshot(), store.PortsByGroupHost, "") {
		t.Error("the index is not empty")
	}
}

// What is held under a prefix is counted as it is yielded, in a transaction
// with what that made and gave up.
func TestClaimsAreCounted(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	counted := func(r store.Reader, prefix string, want int) {
		t.Helper()
		n := 0
		for range store.Claims(r, prefix) {
			n++
		}
		if got := store.CountClaims(r, prefix); got != want || n != want {
			t.Errorf("%s: %d counted, %d yielded, want %d", prefix, got, n, want)
		}
	}
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		for i := range 100 {
			tx.Claim(fmt.Sprintf("ip/a/%d", i), "x")
			tx.Claim(fmt.Sprintf("ip/b/%d/deep", i), "x")
		}
		counted(tx, "ip/a/", 100)
		counted(tx, "ip/", 200)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		tx.Release("ip/a/1")
		tx.Release("ip/a/2")
		tx.Claim("ip/a/2", "y")
		tx.Claim("ip/a/2", "z")
		tx.Claim("ip/c/1", "y")
		tx.Release("ip/c/1")
		tx.Release("ip/c/1")
		counted(tx, "ip/a/", 99)
		counted(tx, "ip/b/", 100)
		counted(tx, "ip/c/", 0)
		counted(tx, "ip/", 199)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	counted(db.Snapshot(), "ip/a/", 99)
	counted(db.Snapshot(), "ip/b/7/", 1)
	counted(db.Snapshot(), "i", 199)
}

// Rows that an older program wrote, as JSON, are read and written on.
func TestRowsInJSONAreRead(t *testing.T) {
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlite.Memory})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	want := numbered(1, netA, subnetA)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Txn(t.Context(), nil, []engine.Op{engine.Put("/t/ports/"+string(want.ID), text)}); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	got, ok := store.Peek(db.Snapshot(), store.Ports, want.ID)
	if !ok || got.Name != want.Name || got.FixedIPs[0] != want.FixedIPs[0] {
		t.Errorf("port: %+v", got)
	}
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		again := *got
		again.Name = "renamed"
		store.Put(tx, store.Ports, &again)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n := store.Count(db.Snapshot(), store.PortsByName, "renamed"); n != 1 {
		t.Errorf("%d ports have the new name", n)
	}
}

// The beginning of an ID is taken once, by rows that are there, by this
// transaction, and by one that is faster.
func TestBeginningsOfIDsAreTakenOnce(t *testing.T) {
	db := openDB(t, sqlite.Memory)
	port := func(id neutrino.ID) *neutrino.Port {
		p := numbered(1, netA, subnetA)
		p.ID = id
		return p
	}
	update(t, db, func(tx *store.Tx) { store.Put(tx, store.Ports, port("aaaa-1")) })
	attempts := 0
	if _, err := db.Update(t.Context(), func(tx *store.Tx) error {
		attempts++
		for _, want := range []struct {
			prefix string
			free   bool
		}{{"aaaa", false}, {"aaaa-1", false}, {"aaab", true}, {"aaab", false}, {"aaaa-11", true}} {
			if free := store.TakePrefix(tx, store.Ports, want.prefix); free != want.free {
				t.Errorf("%s is free: %v", want.prefix, free)
			}
		}
		if !store.TakePrefix(tx, store.Ports, "bbbb") {
			store.Put(tx, store.Ports, port("cccc-1"))
			return nil
		}
		if attempts == 1 { // another takes it meanwhile
			update(t, db, func(tx *store.Tx) { store.Put(tx, store.Ports, port("bbbb-1")) })
		}
		store.Put(tx, store.Ports, port("bbbb-2"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	var got []neutrino.ID
	for p := range store.All(db.Snapshot(), store.Ports) {
		got = append(got, p.ID)
	}
	if want := []neutrino.ID{"aaaa-1", "bbbb-1", "cccc-1"}; !slices.Equal(got, want) || attempts != 2 {
		t.Errorf("ports %v after %d attempts, want %v", got, attempts, want)
	}
}
