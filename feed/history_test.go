package feed

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/store"
	"neutrino/view"
)

// viewOf is a view with so many ports, as a client keeps it.
func viewOf(t *testing.T, revision int64, ports int) kept {
	t.Helper()
	h := view.New("c1")
	for n := range ports {
		id := neutrino.ID(fmt.Sprint("p", n))
		h.Ports[id] = neutrino.Port{ID: id, NetworkID: "n"}
	}
	st := stage{full: true, delta: view.Delta{Puts: view.Rows(h)}}
	k, err := st.commit(holding{host: view.New("c1")}, revision)
	if err != nil {
		t.Fatal(err)
	}
	return kept{holding: k, taken: time.Now()}
}

func TestADamagedViewIsReplacedByTheNewestWholeOne(t *testing.T) {
	file := filepath.Join(t.TempDir(), "view.json")
	for n, k := range []kept{viewOf(t, 1, 1), viewOf(t, 2, 2), viewOf(t, 3, 3)} {
		if n > 0 {
			h := &history{path: file, views: DefaultViews}
			if err := h.rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := k.store(t.Context(), file); err != nil {
			t.Fatal(err)
		}
	}
	spoil := func(path string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(b, []byte(`"p0"`), []byte(`"p8"`), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(revision int64) {
		t.Helper()
		if k, err := loadNewest(t.Context(), file, "c1"); err != nil || k.revision != revision {
			t.Errorf("revision %d, %v; want %d", k.revision, err, revision)
		}
	}
	want(3)
	spoil(file)
	want(2)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	want(2)
	spoil(viewFile(file, 1))
	want(1)
	list, err := StoredViews(t.Context(), file)
	if err != nil || len(list) != 3 || list[0].Problem == "" || !strings.Contains(list[1].Problem, "damaged") || list[2].Rows[view.KindPort] != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	spoil(viewFile(file, 2))
	if _, err := loadNewest(t.Context(), file, "c1"); err == nil {
		t.Error("a damaged view was taken")
	}
	for path, mode := range map[string]os.FileMode{filepath.Dir(viewFile(file, 1)): 0o700, viewFile(file, 1): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode().Perm(), mode, err)
		}
	}
}

// A hundred changes in a second are one view of before, and a great loss is one
// more; none of them pushes out what an operator may want back.
func TestAStormOfChangesKeepsTheViewsOfBefore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "view.json")
	first := viewOf(t, 1, 20)
	if err := first.store(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	h := &history{path: file, views: DefaultViews, last: first}
	begin := time.Now()
	put := func(k kept, after time.Duration) {
		t.Helper()
		k.taken = begin.Add(after)
		h.keep(t.Context(), k)
		if err := k.store(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		h.last = k
	}
	revisions := func() (all []int64) {
		list, err := StoredViews(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range list[1:] {
			all = append(all, v.Revision)
		}
		return all
	}
	for n := range 200 {
		put(viewOf(t, int64(n+2), 19+n%2), time.Duration(n)*time.Millisecond)
	}
	if got := fmt.Sprint(revisions()); got != "[1]" {
		t.Errorf("after 200 changes in a moment: %s", got)
	}
	put(viewOf(t, 300, 0), 2*lossGap)
	if got := fmt.Sprint(revisions()); got != "[201 1]" {
		t.Errorf("after a great loss: %s", got)
	}
	for n := range 100 {
		put(viewOf(t, int64(400+n), 20*(n%2)), 2*lossGap+time.Duration(n)*time.Millisecond)
	}
	if got := fmt.Sprint(revisions()); got != "[201 1]" {
		t.Errorf("after it has come and gone: %s", got)
	}
}

// What is held is part of the file, so that a restart has it in force.
func TestWhatIsHeldIsOnTheDisk(t *testing.T) {
	c := newCloud(t)
	file := filepath.Join(t.TempDir(), "view.json")
	client, stop := c.agent(ClientConfig{File: file, Accepts: true})
	full := at(t, client, c.db.Snapshot().Revision())
	client.Accept(full, full.Host, time.Time{})
	empty := at(t, client, c.write(func(tx *store.Tx) { store.Delete(tx, store.Ports, "p1") }))
	if len(empty.Host.Ports) != 0 {
		t.Fatal("the port is still there")
	}
	// A newer view that was not accepted leaves the file as it is.
	if k, err := loadNewest(t.Context(), file, "c1"); err == nil && k.revision > full.Revision {
		t.Errorf("revision %d is on the disk, and nobody accepted it", k.revision)
	}
	since := time.Now().Truncate(time.Second)
	client.Accept(empty, full.Host, since)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	c.down()
	again, stop := c.agent(ClientConfig{File: file, Accepts: true})
	eventually(t, "stored view", func() bool { _, ok := again.Latest(); return ok })
	h, when := again.InForce()
	if v, _ := again.Latest(); len(v.Host.Ports) != 0 || view.Text(h) != view.Text(full.Host) || !when.Equal(since) {
		t.Errorf("in force since %v:\n%s", when, view.Text(h))
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// The server answers what an agent asks, again after a restart, and again when an
// object has found another host.
func TestTheServerSaysWhichRowsAreGone(t *testing.T) {
	c := newCloud(t)
	client, _ := c.agent(ClientConfig{})
	at(t, client, c.db.Snapshot().Revision())
	request := func(cause string, f func(*store.Tx)) {
		t.Helper()
		if _, err := c.db.Update(t.Context(), func(tx *store.Tx) error { tx.Because(cause); f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	request("", func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) })
	request("req-1", func(tx *store.Tx) { store.Delete(tx, store.Ports, "p1") })
	request("", func(tx *store.Tx) { store.Delete(tx, store.Ports, "p2") })
	p1, p2 := view.Key{Kind: view.KindPort, ID: "p1"}, view.Key{Kind: view.KindPort, ID: "p2"}
	keys := []view.Key{p1, p2}
	for n := range 2*maxQuestion + 10 {
		keys = append(keys, view.Key{Kind: view.KindRule, ID: fmt.Sprint("never", n)})
	}
	client.Ask(keys)
	answered := func(n int) func() bool {
		return func() bool { gone, all := client.Answer(); return all && len(gone) == n }
	}
	eventually(t, "an answer about every row", answered(1))
	if gone, _ := client.Answer(); gone[p1] != "request req-1" {
		t.Errorf("answer %v", gone)
	}
	c.down()
	c.up()
	eventually(t, "connected", func() bool { return client.State().Connected })
	eventually(t, "the answer of a server that was started again", answered(1))
	moved := vm("p2", 2)
	moved.HostID = "c2"
	request("", func(tx *store.Tx) { store.Put(tx, store.Ports, moved) })
	eventually(t, "the answer that p2 has another host", answered(2))
	client.Ask(nil)
	if gone, _ := client.Answer(); len(gone) != 0 {
		t.Errorf("nothing is asked, and the answer is %v", gone)
	}
}
