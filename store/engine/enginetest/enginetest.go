// Package enginetest is the conformance suite of the store's engines: what
// every engine must do, on fixed cases, on random concurrent histories, over
// reopenings, and when its process is killed.
package enginetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"neutrino/store/engine"
)

// patience is how long the suite waits for what must happen.
const patience = 20 * time.Second

// Open opens an engine whose data is in the directory, which is the test's own.
// It keeps so many revisions of history (0: the engine's default). An engine
// that keeps its data elsewhere takes the directory as its name.
type Open func(ctx context.Context, dir string, keep int64) (engine.Engine, error)

// Run runs the whole suite on a durable engine. The calling test must do
// nothing before it: the crash test starts the test binary again to be killed.
func Run(t *testing.T, open Open) {
	RunVolatile(t, open)
	t.Run("everything is there after a reopening", func(t *testing.T) { testReopen(t, open) })
	t.Run("crash", func(t *testing.T) { testCrash(t, open) })
}

// RunVolatile runs the part of the suite that an engine passes which keeps
// nothing after Close.
func RunVolatile(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"a transaction holds or changes nothing":        testTxn,
		"a refused transaction harms no other":          testInvalid,
		"a range shows one revision":                    testRange,
		"a watch begins anywhere and misses nothing":    testWatch,
		"a watch of a prefix sees that only":            testWatchPrefix,
		"old revisions are compacted":                   testCompaction,
		"keys end with their lease":                     testLease,
		"one candidate leads and the next takes over":   testCampaign,
		"closing ends everything":                       testClose,
		"random concurrent histories are serial":        testHistories,
		"an abandoned watch and call leave no trace":    testAbandoned,
		"deleting and making again is a new first time": testRecreate,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

type suite struct {
	*testing.T
	engine.Engine
}

func start(t *testing.T, open Open, keep int64) suite {
	t.Helper()
	e, err := open(t.Context(), t.TempDir(), keep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // Close twice is allowed
	return suite{t, e}
}

// must does a transaction that has to succeed.
func (s suite) must(compares []engine.Compare, then ...engine.Op) int64 {
	s.Helper()
	rev, ok, err := s.Txn(s.Context(), compares, then)
	if err != nil || !ok {
		s.Fatalf("transaction %v %v: ok %v, error %v", compares, then, ok, err)
	}
	return rev
}

func (s suite) put(key, value string) int64 {
	s.Helper()
	return s.must(nil, engine.Put(key, []byte(value)))
}

// refuse does a transaction whose compares must not hold.
func (s suite) refuse(c engine.Compare) {
	s.Helper()
	_, before, err := s.Range(s.Context(), "/", 0)
	if err != nil {
		s.Fatal(err)
	}
	rev, ok, err := s.Txn(s.Context(), []engine.Compare{c}, []engine.Op{engine.Put("/refused", nil)})
	if err != nil || ok || rev != before {
		s.Fatalf("%+v at revision %d: revision %d, ok %v, error %v", c, before, rev, ok, err)
	}
}

// text is a range as one string: "a=1@3 b=2@4".
func (s suite) text(prefix string, at int64) string {
	s.Helper()
	kvs, _, err := s.Range(s.Context(), prefix, at)
	if err != nil {
		s.Fatal(err)
	}
	out := ""
	for kv := range kvs.All() {
		out += fmt.Sprintf("%s=%s@%d ", kv.Key, kv.Value, kv.Mod)
	}
	return out
}

func (s suite) want(what, got, want string) {
	s.Helper()
	if got != want {
		s.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// watch collects changes from a revision until the last one.
func (s suite) watch(prefix string, from, last int64) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	out := ""
	for batches, err := range s.Watch(ctx, prefix, from) {
		if err != nil {
			s.Fatalf("watch from %d after %q: %v", from, out, err)
		}
		for _, b := range batches {
			out += fmt.Sprint(b.Revision, ":")
			for _, c := range b.Changes {
				if c.Deleted {
					out += c.Key + " gone "
				} else {
					out += fmt.Sprintf("%s=%s ", c.Key, c.Value)
				}
			}
			if b.Revision >= last {
				return out
			}
		}
	}
	s.Fatalf("watch ended after %q", out)
	return ""
}

func testTxn(t *testing.T, open Open) {
	s := start(t, open, 0)
	first := s.put("/a", "1")
	if first != 1 {
		t.Fatalf("the first revision is %d", first)
	}
	s.must([]engine.Compare{{Test: engine.Present, Key: "/a"}, {Test: engine.Absent, Key: "/b"}}, engine.Put("/b", []byte("2")))
	s.must([]engine.Compare{{Test: engine.ModRevision, Key: "/a", Rev: 1}, engine.RangeEmpty("/c/")},
		engine.Put("/a", []byte("3")), engine.Delete("/b"))
	s.want("after three", s.text("/", 0), "/a=3@3 ")
	s.refuse(engine.Compare{Test: engine.Absent, Key: "/a"})
	s.refuse(engine.Compare{Test: engine.Present, Key: "/b"})
	s.refuse(engine.Compare{Test: engine.ModRevision, Key: "/a", Rev: 1})
	s.refuse(engine.Compare{Test: engine.ModRevision, Key: "/b", Rev: 2})
	s.must([]engine.Compare{{Test: engine.ModRevision, Key: "/b", Rev: 0}}, engine.Put("/c/1", nil))
	s.refuse(engine.RangeEmpty("/c/"))
	s.refuse(engine.RangeEmpty("/c"))
	s.must([]engine.Compare{{Test: engine.RangeBefore, Key: "/c/", Rev: 4}, engine.RangeEmpty("/c0")}, engine.Put("/d", nil))
	s.refuse(engine.Compare{Test: engine.RangeBefore, Key: "/c/", Rev: 3})
	if rev := s.must(nil, engine.Delete("/nothing")); rev != 5 {
		t.Errorf("deleting nothing made revision %d", rev)
	}
	if rev := s.must(nil); rev != 5 {
		t.Errorf("doing nothing made revision %d", rev)
	}
	s.must(nil, engine.Delete("/c/1"))
	s.must([]engine.Compare{engine.RangeEmpty("/c/")}, engine.Put("/e", nil))
	s.want("at the end", s.text("/", 0), "/a=3@3 /d=@5 /e=@7 ")
}

func testRecreate(t *testing.T, open Open) {
	s := start(t, open, 0)
	s.put("/a", "1")
	s.must(nil, engine.Delete("/a"))
	s.refuse(engine.Compare{Test: engine.ModRevision, Key: "/a", Rev: 1})
	s.must([]engine.Compare{{Test: engine.Absent, Key: "/a"}}, engine.Put("/a", []byte("2")))
	s.want("made again", s.text("/a", 0), "/a=2@3 ")
	s.want("while it was gone", s.text("/a", 2), "")
	s.want("the first time", s.text("/a", 1), "/a=1@1 ")
}

func testInvalid(t *testing.T, open Open) {
	s := start(t, open, 0)
	big := make([]byte, engine.MaxValue+1)
	for _, then := range [][]engine.Op{
		{engine.Put("/a", nil), engine.Delete("/a")},
		{engine.Put("", nil)},
		{engine.Put("/big", big)},
		{engine.Put(string(make([]byte, engine.MaxKey+1)), nil)},
		make([]engine.Op, engine.MaxOps+1),
	} {
		if _, _, err := s.Txn(t.Context(), nil, then); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%d operations: %v", len(then), err)
		}
	}
	s.put("/a", string(big[:engine.MaxValue]))
	if _, _, err := s.Txn(t.Context(), nil, []engine.Op{{Key: "/b", Lease: 4711}}); !errors.Is(err, engine.ErrNoLease) {
		t.Errorf("a key with a lease that was never granted: %v", err)
	}
	if rev := s.put("/b", "strange \x00 \xff bytes"); rev != 2 {
		t.Errorf("revision %d after one that was refused", rev)
	}
	s.want("bytes", s.text("/b", 0), "/b=strange \x00 \xff bytes@2 ")
}

func testRange(t *testing.T, open Open) {
	s := start(t, open, 0)
	s.put("/b", "1")
	s.put("/a/1", "2")
	s.must(nil, engine.Put("/a/2", []byte("3")), engine.Put("/b", []byte("3")))
	s.must(nil, engine.Delete("/a/1"), engine.Put("/a0", []byte("4")))
	s.want("prefix /a/", s.text("/a/", 0), "/a/2=3@3 ")
	s.want("at 3", s.text("/a/", 3), "/a/1=2@2 /a/2=3@3 ")
	s.want("all at 2", s.text("/", 2), "/a/1=2@2 /b=1@1 ")
	s.want("all", s.text("/", 0), "/a/2=3@3 /a0=4@4 /b=3@3 ")
	s.want("the whole space of keys", s.text("", 0), "/a/2=3@3 /a0=4@4 /b=3@3 ")
	if _, rev, err := s.Range(t.Context(), "/nothing", 0); err != nil || rev != 4 {
		t.Errorf("an empty range is of revision %d, %v", rev, err)
	}
}

func testWatch(t *testing.T, open Open) {
	s := start(t, open, 0)
	s.put("/a", "1")
	s.must(nil, engine.Put("/b", []byte("2")), engine.Put("/a", []byte("2")))
	s.must(nil, engine.Delete("/a"))
	all := "1:/a=1 2:/b=2 /a=2 3:/a gone "
	s.want("from the beginning", s.watch("/", 1, 3), all)
	s.want("from 2", s.watch("/", 2, 3), all[len("1:/a=1 "):])
	seen := make(chan string)
	go func() { seen <- s.watch("/", 3, 5) }()
	s.put("/c", "4")
	s.put("/c", "5")
	s.want("while it happens", <-seen, "3:/a gone 4:/c=4 5:/c=5 ")
	// A reader that stops for long while much happens misses nothing.
	last := int64(0)
	for batches, err := range s.Watch(t.Context(), "/", 4) {
		if err != nil {
			t.Fatal(err)
		}
		if last == 0 {
			last = 3
			s.fill("/fill", 600)
		}
		for _, b := range batches {
			if b.Revision != last+1 {
				t.Fatalf("revision %d after %d", b.Revision, last)
			}
			last = b.Revision
		}
		if last == 605 {
			break
		}
	}
}

// fill makes n revisions.
func (s suite) fill(key string, n int) {
	for i := range n {
		s.put(key, fmt.Sprint(i))
	}
}

func testWatchPrefix(t *testing.T, open Open) {
	s := start(t, open, 0)
	s.put("/a/1", "1")
	s.put("/b/1", "2")
	s.must(nil, engine.Put("/b/2", []byte("3")), engine.Put("/a/2", []byte("3")))
	s.put("/a/1", "4")
	s.want("prefix /a/", s.watch("/a/", 1, 4), "1:/a/1=1 3:/a/2=3 4:/a/1=4 ")
}

func testCompaction(t *testing.T, open Open) {
	s := start(t, open, 100)
	s.put("/old", "stays")
	s.put("/gone", "x")
	s.must(nil, engine.Delete("/gone"))
	s.fill("/a", 2000)
	if _, _, err := s.Range(t.Context(), "/", 5); !errors.Is(err, engine.ErrCompacted) {
		t.Errorf("a read of a compacted revision: %v", err)
	}
	for _, err := range s.Watch(t.Context(), "/", 2) {
		if !errors.Is(err, engine.ErrCompacted) {
			t.Errorf("a watch from a compacted revision: %v", err)
		}
	}
	s.want("what is alive", s.text("/", 0), "/a=1999@2003 /old=stays@1 ")
	s.want("a kept revision", s.text("/", 1990), "/a=1986@1990 /old=stays@1 ")
	s.want("a watch of kept revisions", s.watch("/", 2002, 2003), "2002:/a=1998 2003:/a=1999 ")
	s.must([]engine.Compare{{Test: engine.ModRevision, Key: "/old", Rev: 1}, {Test: engine.Absent, Key: "/gone"}},
		engine.Put("/old", nil))
}

func testLease(t *testing.T, open Open) {
	s := start(t, open, 0)
	ctx := t.Context()
	const ttl = 2 * time.Second
	short, err := s.Grant(ctx, ttl)
	if err != nil {
		t.Fatal(err)
	}
	long, err := s.Grant(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.must(nil, engine.Op{Key: "/short", Lease: short}, engine.Op{Key: "/freed", Lease: short}, engine.Op{Key: "/long", Lease: long})
	s.must(nil, engine.Put("/freed", nil)) // now without a lease
	for begun := time.Now(); time.Since(begun) < ttl*3/2; {
		time.Sleep(ttl / 20) // the passing of time is what is tested
		if err := s.KeepAlive(ctx, short); err != nil {
			t.Fatal(err)
		}
	}
	s.want("kept alive for longer than its time", s.text("/", 0), "/freed=@2 /long=@1 /short=@1 ")
	s.want("not kept alive", s.watch("/", 3, 3), "3:/short gone ")
	if err := s.KeepAlive(ctx, short); !errors.Is(err, engine.ErrNoLease) {
		t.Errorf("keeping an expired lease alive: %v", err)
	}
	if err := s.Revoke(ctx, long); err != nil {
		t.Error(err)
	}
	if err := s.Revoke(ctx, long); !errors.Is(err, engine.ErrNoLease) {
		t.Errorf("revoking twice: %v", err)
	}
	s.want("at the end", s.text("/", 0), "/freed=@2 ")
}

func testCampaign(t *testing.T, open Open) {
	s := start(t, open, 0)
	leader := make(chan string, 3)
	leases := map[string]engine.LeaseID{}
	for _, name := range []string{"a", "b", "c"} {
		lease, err := s.Grant(t.Context(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		leases[name] = lease
		go func() {
			if _, err := engine.Campaign(t.Context(), s, lease, engine.Put("/leader", []byte(name))); err == nil {
				leader <- name
			}
		}()
	}
	seen := map[string]bool{}
	for range 3 {
		select {
		case name := <-leader:
			seen[name] = true
			kvs, _, err := s.Range(t.Context(), "/leader", 0)
			if err != nil || kvs.Len() != 1 || string(kvs.At(0).Value) != name || len(leader) != 0 {
				t.Fatalf("%s leads, the key says %v, %v", name, kvs, err)
			}
			if err := s.Revoke(t.Context(), leases[name]); err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatalf("only %v have led", seen)
		}
	}
	if len(seen) != 3 {
		t.Errorf("leaders: %v", seen)
	}
}

func testClose(t *testing.T, open Open) {
	s := start(t, open, 0)
	s.put("/a", "1")
	ended := make(chan error)
	go func() {
		for _, err := range s.Watch(t.Context(), "/", 2) {
			ended <- err
		}
	}()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, engine.ErrClosed) {
		t.Errorf("watch: %v", err)
	}
	_, _, txn := s.Txn(t.Context(), nil, []engine.Op{engine.Put("/a", nil)})
	_, _, list := s.Range(t.Context(), "/", 0)
	_, grant := s.Grant(t.Context(), time.Second)
	for i, err := range []error{txn, list, grant, s.KeepAlive(t.Context(), 1), s.Revoke(t.Context(), 1)} {
		if !errors.Is(err, engine.ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func testAbandoned(t *testing.T, open Open) {
	s := start(t, open, 0)
	s.put("/a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		for _, err := range s.Watch(ctx, "/", 2) {
			ended <- err
		}
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("watch: %v", err)
	}
	for range 100 {
		if _, _, err := s.Txn(ctx, nil, []engine.Op{engine.Put("/a", nil)}); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("call: %v", err)
		}
		if _, _, err := s.Range(ctx, "/", 0); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("range: %v", err)
		}
	}
	s.put("/a", "2")
	if kvs, _, err := s.Range(t.Context(), "/a", 0); err != nil || string(kvs.At(0).Value) != "2" {
		t.Errorf("after it: %v %v", kvs, err)
	}
}
