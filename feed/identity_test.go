package feed

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"neutrino"
	"neutrino/feed/feedpb"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
	"neutrino/store/identity"
	"neutrino/view"
)

// disks is a cloud whose store is a file, which can be copied and put back.
type disks struct {
	*cloud
	dir    string
	engine *sqlite.Engine
}

// newDisks is a cloud with a named store, two networks and a port, as newCloud.
func newDisks(t *testing.T) *disks {
	t.Helper()
	d := &disks{cloud: newCloud(t), dir: t.TempDir()}
	d.down()
	t.Cleanup(d.close)
	d.open("db")
	d.write(func(tx *store.Tx) {
		store.Put(tx, store.Networks, &neutrino.Network{ID: "n", NetworkType: neutrino.GRE, SegmentationID: 1})
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: "n", LocalVLAN: 1})
		store.Put(tx, store.Ports, vm("p1", 1))
	})
	d.up()
	return d
}

func (d *disks) close() {
	d.t.Helper()
	d.down()
	if d.engine == nil {
		return
	}
	if err := d.db.Close(); err != nil {
		d.t.Error(err)
	}
	if err := d.engine.Close(); err != nil {
		d.t.Error(err)
	}
	d.engine = nil
}

// open opens a file as the server does on a first start.
func (d *disks) open(name string) {
	d.t.Helper()
	var err error
	if d.engine, err = sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(d.dir, name)}); err != nil {
		d.t.Fatal(err)
	}
	if _, err := identity.Begin(context.Background(), d.engine); err != nil {
		d.t.Fatal(err)
	}
	if d.db, err = store.Open(context.Background(), d.engine); err != nil {
		d.t.Fatal(err)
	}
}

// swap stops the server and starts one on another file.
func (d *disks) swap(name string) {
	d.t.Helper()
	d.close()
	d.open(name)
	d.up()
}

// copy keeps the store as it is now under another name.
func (d *disks) copy(name string) {
	d.t.Helper()
	d.close()
	b, err := os.ReadFile(filepath.Join(d.dir, "db"))
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, name), b, 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.open("db")
	d.up()
}

// copyLive keeps the store as it is now under another name, while it goes on.
func (d *disks) copyLive(name string) {
	d.t.Helper()
	for _, part := range []string{"", "-wal", "-acked"} {
		b, err := os.ReadFile(filepath.Join(d.dir, "db"+part))
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(d.dir, name+part), b, 0o600)
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
}

func notUsed(t *testing.T, c *Client, words ...string) {
	t.Helper()
	eventually(t, "the view is refused", func() bool { return c.State().NotUsed != "" })
	for _, w := range append(words, "neutrino agent accept") {
		if !strings.Contains(c.State().NotUsed, w) {
			t.Errorf("refused because %q; want %q", c.State().NotUsed, w)
		}
	}
}

// Row 1 of the table: each kind of a wrong store under a connected agent. The agent
// works on by what it has, its file stays as it is, and it takes the right store
// when that is back.
func TestAnAgentKeepsItsViewUnderAWrongStore(t *testing.T) {
	for what, c := range map[string]struct {
		wrong func(d *disks) string // makes the file of it
		says  string
	}{
		"empty": {func(*disks) string { return "empty" }, "is that of cluster"},
		"another cloud's, and newer": {func(d *disks) string {
			d.swap("strange")
			for i := range byte(20) {
				d.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("q", i)) })
			}
			d.swap("db")
			return "strange"
		}, "is that of cluster"},
		"an older copy": {func(d *disks) string {
			d.copyLive("older")
			for i := range byte(5) {
				d.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", i)) })
			}
			return "older"
		}, "older copy of life"},
		"a copy of before the last start": {func(d *disks) string {
			d.copy("older")
			d.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) })
			return "older"
		}, "does not follow life"},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDisks(t)
			file := filepath.Join(t.TempDir(), "view.json")
			wrong := c.wrong(d)
			client, _ := d.agent(ClientConfig{File: file})
			right := at(t, client, d.db.Snapshot().Revision())
			eventually(t, "the view is stored", func() bool {
				h, err := load(t.Context(), file, "c1")
				return err == nil && h.revision == right.Revision
			})
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			d.swap(wrong)
			notUsed(t, client, c.says)
			if d.srv.Connected() != 1 || d.srv.Apart() != 1 || d.srv.Check() == nil {
				t.Errorf("the server sees %d hosts, %d of another store, and is ready: %v", d.srv.Connected(), d.srv.Apart(), d.srv.Check())
			}
			// What this store does reaches the host as little, also when it has become
			// newer than what the host has.
			for i := range byte(10) {
				d.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p9", i)) })
			}
			d.write(func(tx *store.Tx) {
				store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: "m", LocalVLAN: 9})
				store.Put(tx, store.Networks, &neutrino.Network{ID: "m", NetworkType: neutrino.GRE})
			})
			eventually(t, "it is offered", func() bool { return strings.Contains(strings.Join(client.Store().Adds, " "), "network m") })
			if v, _ := client.Latest(); view.Text(v.Host) != view.Text(right.Host) || v.Revision != right.Revision {
				t.Errorf("the agent works by\n%s", view.Text(v.Host))
			}
			if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
				t.Errorf("the stored view is %s (%v), it was %s", after, err, before)
			}
			// Started anew, it has the same from its disk.
			again, _ := d.agent(ClientConfig{File: file})
			notUsed(t, again, c.says)
			if v, ok := again.Latest(); !ok || !v.Stored || view.Text(v.Host) != view.Text(right.Host) {
				t.Errorf("a fresh agent works by %+v", v)
			}
			d.swap("db")
			rev := d.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p3", 3)) })
			same(t, d.cloud, at(t, again, rev))
			if again.State().NotUsed != "" || d.srv.Check() != nil {
				t.Errorf("with its own store again: %+v, %v", again.State(), d.srv.Check())
			}
		})
	}
}

// An agent of before has a view without a name: it takes its own store's name at
// the upgrade, and an empty store not even then.
func TestAViewOfBeforeIsNotGivenUpForAnEmptyStore(t *testing.T) {
	d := newDisks(t)
	file := filepath.Join(t.TempDir(), "view.json")
	st := stage{full: true, delta: view.Delta{Puts: view.Rows(view.For(d.db.Snapshot(), "c1"))}}
	h, err := st.commit(holding{host: view.New("c1")}, d.db.Snapshot().Revision())
	if err != nil {
		t.Fatal(err)
	}
	if err := (kept{holding: h}).store(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	d.swap("empty")
	client, stop := d.agent(ClientConfig{File: file})
	notUsed(t, client, "it has been at revision")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	d.swap("db")
	client, _ = d.agent(ClientConfig{File: file})
	at(t, client, d.db.Snapshot().Revision())
	eventually(t, "its store's name", func() bool {
		return client.Store().Held.Life == d.db.Snapshot().Position().Life && client.State().NotUsed == ""
	})
}

// A server of before names no store. What it says is not taken for ours.
func TestAServerThatNamesNoStoreIsRefused(t *testing.T) {
	nameless := newCloud(t)
	d := newDisks(t)
	file := filepath.Join(t.TempDir(), "view.json")
	client, _ := d.agent(ClientConfig{File: file})
	at(t, client, d.db.Snapshot().Revision())
	d.close()
	d.db = nameless.db
	d.up()
	notUsed(t, client, "has no name")
}

// The operator says on the host that the other store is meant.
func TestTheOperatorCanTakeAnotherStore(t *testing.T) {
	d := newDisks(t)
	client, _ := d.agent(ClientConfig{File: filepath.Join(t.TempDir(), "view.json")})
	at(t, client, d.db.Snapshot().Revision())
	if err := client.AcceptStore(d.db.Snapshot().Position().StoreIdentity); err != ErrNothingWaits {
		t.Errorf("nothing waits, and accepting gives %v", err)
	}
	d.swap("empty")
	notUsed(t, client)
	now := d.db.Snapshot().Position()
	if s := client.Store(); s.Offered.Life != now.Life || len(s.Drops) != 2 {
		t.Errorf("what waits: %+v", s)
	}
	for _, wrong := range []neutrino.StoreIdentity{{Cluster: now.Cluster, Life: "1"}, {Cluster: "1", Life: now.Life}, client.Store().Held.StoreIdentity} {
		if err := client.AcceptStore(wrong); err == nil {
			t.Errorf("%+v was accepted", wrong)
		}
	}
	if err := client.AcceptStore(now.StoreIdentity); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server sees that", func() bool { return d.srv.Check() == nil && client.State().Connected })
	rev := d.write(func(tx *store.Tx) {
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: "m", LocalVLAN: 9})
		store.Put(tx, store.Networks, &neutrino.Network{ID: "m", NetworkType: neutrino.GRE})
	})
	same(t, d.cloud, at(t, client, rev))
}

// A report on another store's view says nothing of this one's rows, whatever its
// number: it once could have made a port ACTIVE that the host had never seen.
func TestAReportOnAnotherStoreSettlesNothing(t *testing.T) {
	d := newDisks(t)
	client, _ := d.agent(ClientConfig{File: filepath.Join(t.TempDir(), "view.json")})
	held := at(t, client, d.db.Snapshot().Revision())
	d.swap("empty")
	notUsed(t, client)
	for i := range byte(10) { // past the agent's revision
		d.write(func(tx *store.Tx) {
			store.Put(tx, store.Networks, &neutrino.Network{ID: "n", NetworkType: neutrino.GRE})
			store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: "n", LocalVLAN: 1})
			store.Put(tx, store.Ports, vm("p2", i))
		})
	}
	eventually(t, "offered", func() bool { return strings.Contains(strings.Join(client.Store().Adds, " "), "port p2") })
	client.Report(neutrino.Report{Host: "c1", Revision: held.Revision + 100, Life: held.Life})
	eventually(t, "the report", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.reports) > 0 && d.reports[len(d.reports)-1].Revision == held.Revision+100
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.settled["p2"] {
		t.Error("a port of this store is settled by a report on another one")
	}
}

// The wire form keeps what an identity says.
func TestAnIdentityGoesOverTheWire(t *testing.T) {
	id := neutrino.StoreIdentity{Cluster: "a", Life: "3", Past: []neutrino.PastLife{{Life: "1", Revision: 7}, {Life: "2", Revision: 9, Restored: true}}}
	got := storeOf(&feedpb.View{Store: string(id.Cluster), Life: lifeOf(id, "", "2", "7")})
	if got.Cluster != "a" || got.Life != "3" || len(got.Past) != 1 || got.Past[0] != id.Past[1] {
		t.Errorf("%+v", got)
	}
	if lifeOf(neutrino.StoreIdentity{}) != nil || storeOf(&feedpb.View{}).Named() {
		t.Error("a store without a name has one on the wire")
	}
}
