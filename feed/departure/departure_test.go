package departure

import (
	"path/filepath"
	"strings"
	"testing"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
	"neutrino/store/storetest"
	"neutrino/view"
	"neutrino/view/fuse"
)

// world is a store that a log follows, as the feed's server does.
type world struct {
	*testing.T
	db  *store.DB
	log *Log
	at  store.Revision
}

func newWorld(t *testing.T, file string) *world {
	w := &world{T: t, db: storetest.OpenAt(t, sqlite.Options{Path: file})}
	w.log, w.at = NewLog(w.db), w.db.Snapshot().Revision()
	w.log.Restart(w.at + 1)
	return w
}

// do is a transaction of a request, "" for one of the server's own.
func (w *world) do(cause string, f func(*store.Tx)) {
	w.Helper()
	rev, err := w.db.Update(w.Context(), func(tx *store.Tx) error {
		tx.Because(cause)
		f(tx)
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
	for b, err := range w.db.Watch(w.Context(), w.at+1) {
		if err != nil {
			w.Fatal(err)
		}
		w.log.Note(b)
		if w.at = b.Revision; w.at >= rev {
			return
		}
	}
}

func (w *world) confirmed(kind, id string) string {
	w.Helper()
	k := view.Key{Kind: kind, ID: id}
	out, err := w.log.Confirm(w.Context(), "c1", []view.Key{k})
	if err != nil {
		w.Fatal(err)
	}
	return out[k]
}

func bound(id, host string) *neutrino.Port {
	return &neutrino.Port{ID: neutrino.ID(id), NetworkID: "n", HostID: host, VIFType: neutrino.VIFOVS, SecurityGroups: []neutrino.ID{"g"},
		FixedIPs: []neutrino.FixedIP{{SubnetID: "s", IPAddress: neutrino.MAC{2, 0, 0, 0, 0, 1}.LinkLocal()}}}
}

func TestOnlyARequestOrAnotherHostConfirms(t *testing.T) {
	w := newWorld(t, sqlite.Memory)
	w.do("req-make", func(tx *store.Tx) {
		for _, id := range []string{"asked", "lost", "moved", "unbound", "let-go", "here"} {
			store.Put(tx, store.Ports, bound(id, "c1"))
		}
		for _, id := range []neutrino.ID{"asked", "lost", "moved", "here"} {
			store.Put(tx, store.RouterBindings, &neutrino.RouterBinding{RouterID: id, Host: "c1"})
			store.Put(tx, store.DHCPBindings, &neutrino.DHCPBinding{NetworkID: id, Host: "c1"})
			store.Put(tx, store.SecurityGroupRules, &neutrino.SecurityGroupRule{ID: id})
			store.Put(tx, store.FloatingIPs, &neutrino.FloatingIP{ID: id, RouterID: id})
		}
	})
	w.do("req-1", func(tx *store.Tx) {
		store.Delete(tx, store.Ports, "asked")
		store.Put(tx, store.Ports, bound("unbound", ""))
		store.Delete(tx, store.RouterBindings, "asked")
		store.Delete(tx, store.DHCPBindings, store.DHCPBindingID("asked", "c1"))
		store.Delete(tx, store.SecurityGroupRules, "asked")
		store.Put(tx, store.FloatingIPs, &neutrino.FloatingIP{ID: "asked"})
	})
	w.do("", func(tx *store.Tx) {
		store.Delete(tx, store.Ports, "lost")
		store.Put(tx, store.Ports, bound("let-go", ""))
		store.Put(tx, store.Ports, bound("moved", "c2"))
		for _, id := range []neutrino.ID{"lost", "moved"} {
			store.Delete(tx, store.RouterBindings, id)
			store.Delete(tx, store.DHCPBindings, store.DHCPBindingID(id, "c1"))
		}
		store.Delete(tx, store.SecurityGroupRules, "lost")
		store.Delete(tx, store.FloatingIPs, "lost")
		store.Put(tx, store.RouterBindings, &neutrino.RouterBinding{RouterID: "moved", Host: "c2"})
		store.Put(tx, store.DHCPBindings, &neutrino.DHCPBinding{NetworkID: "moved", Host: "c2"})
	})
	for key, want := range map[string]string{
		"port asked": "req-1", "port unbound": "req-1", "port moved": "c2", "port lost": "", "port let-go": "", "port here": "", "port never": "",
		"router asked": "req-1", "router moved": "c2", "router lost": "", "router here": "",
		"dhcp asked": "req-1", "dhcp moved": "c2", "dhcp lost": "", "dhcp here": "",
		"floatingip asked": "req-1", "floatingip moved": "c2", "floatingip lost": "", "floatingip here": "",
		"rule asked": "req-1", "rule lost": "", "rule here": "",
		"neighbour asked": "req-1", "neighbour lost": "", "neighbour moved": "",
	} {
		kind, id, _ := strings.Cut(key, " ")
		if got := w.confirmed(kind, id); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s is confirmed by %q, want %q", key, got, want)
		}
	}
	prefix := bound("asked", "c1").FixedIPs[0].IPAddress.String() + "/128"
	// The last of those that had it took it along, without a request.
	if why := w.confirmed(fuse.KindMember, "g "+prefix); why != "" {
		t.Errorf("a member that others brought too is confirmed by %q", why)
	}
}

// A server that is started again has the requests of before in its store's history.
func TestARestartForgetsNoRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db")
	t.Run("before", func(t *testing.T) {
		w := newWorld(t, file)
		w.do("req-make", func(tx *store.Tx) {
			store.Put(tx, store.Ports, bound("asked", "c1"))
			store.Put(tx, store.Ports, bound("unbound", "c1"))
			store.Put(tx, store.Ports, bound("lost", "c1"))
			store.Put(tx, store.RouterBindings, &neutrino.RouterBinding{RouterID: "r", Host: "c1"})
		})
		w.do("req-2", func(tx *store.Tx) {
			store.Delete(tx, store.Ports, "asked")
			store.Put(tx, store.Ports, bound("unbound", ""))
			store.Delete(tx, store.RouterBindings, "r")
		})
		w.do("", func(tx *store.Tx) { store.Delete(tx, store.Ports, "lost") })
	})
	w := newWorld(t, file)
	for key, want := range map[string]string{"port asked": "req-2", "port unbound": "req-2", "router r": "req-2", "port lost": "", "port never": ""} {
		kind, id, _ := strings.Cut(key, " ")
		if got := w.confirmed(kind, id); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s is confirmed by %q, want %q", key, got, want)
		}
	}
}

// What is remembered has a bound, and an old request confirms nothing new.
func TestADepartureIsForgottenWhenTheRowReturns(t *testing.T) {
	w := newWorld(t, sqlite.Memory)
	w.do("req-1", func(tx *store.Tx) { store.Put(tx, store.Ports, bound("p", "c1")) })
	w.do("req-2", func(tx *store.Tx) { store.Delete(tx, store.Ports, "p") })
	w.do("req-3", func(tx *store.Tx) { store.Put(tx, store.Ports, bound("p", "c1")) })
	w.do("", func(tx *store.Tx) { store.Delete(tx, store.Ports, "p") })
	if why := w.confirmed(view.KindPort, "p"); why != "" {
		t.Errorf("confirmed by %q", why)
	}
	for n := range 3 * most {
		w.log.record(key{"ports", string(rune(n))}, "req")
	}
	if len(w.log.queue) > 2*most || len(w.log.gone) > 2*most {
		t.Errorf("%d departures in %d places", len(w.log.gone), len(w.log.queue))
	}
}

// The history of a store that has compacted begins somewhere.
func TestThePastBeginsWhereTheStoreStillKnows(t *testing.T) {
	db := storetest.OpenAt(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "db"), Keep: 100})
	rev := store.Revision(0)
	for range 600 {
		var err error
		if rev, err = db.Update(t.Context(), func(tx *store.Tx) error { store.Put(tx, store.Ports, bound("p", "c1")); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	first, last := store.Revision(0), store.Revision(0)
	for b, err := range db.Past(t.Context(), rev-1) {
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = b.Revision
		}
		last = b.Revision
	}
	if last != rev-1 || rev-first < 75 {
		t.Errorf("from %d to %d of %d", first, last, rev)
	}
}
