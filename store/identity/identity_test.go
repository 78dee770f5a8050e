package identity_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"neutrino"
	"neutrino/store/engine"
	"neutrino/store/engine/sqlite"
	"neutrino/store/identity"
)

func open(t *testing.T, path string) *sqlite.Engine {
	t.Helper()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func write(t *testing.T, e engine.Engine, n int) {
	t.Helper()
	for range n {
		if _, _, err := e.Txn(t.Context(), nil, []engine.Op{engine.Put("/t/x", nil)}); err != nil {
			t.Fatal(err)
		}
	}
}

func admit(t *testing.T, e engine.Engine, trace identity.Trace) identity.Trace {
	t.Helper()
	next, err := identity.Admit(t.Context(), e, "db", trace)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// Each start of a server begins a life, which follows the one before.
func TestAStoreKeepsItsClusterThroughItsLives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	e := open(t, path)
	first := admit(t, e, identity.Trace{})
	if !first.Named() || first.Revision != 1 || len(first.Past) != 0 {
		t.Fatalf("the first life is %+v", first)
	}
	write(t, e, 3)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	again := admit(t, open(t, path), first)
	p, ok := again.Follows(first.Life)
	if again.Cluster != first.Cluster || again.Life == first.Life || again.Revision != 5 || !ok || p.Revision != 4 || p.Restored {
		t.Errorf("it was %+v and is %+v", first, again)
	}
}

// A database of the program before has rows and no name.
func TestAStoreWithoutANameGetsOneAtTheUpgrade(t *testing.T) {
	e := open(t, sqlite.Memory)
	write(t, e, 7)
	if got := admit(t, e, identity.Trace{}); !got.Named() || got.Revision != 8 {
		t.Errorf("it is %+v", got)
	}
}

func TestOnlyTheStoreOfTheTraceIsAdmitted(t *testing.T) {
	mine := open(t, sqlite.Memory)
	trace := admit(t, mine, identity.Trace{})
	write(t, mine, 9)
	copied := trace // of life 1, which goes on
	trace = admit(t, mine, trace)

	empty, strange, nameless := open(t, sqlite.Memory), open(t, sqlite.Memory), open(t, sqlite.Memory)
	admit(t, strange, identity.Trace{})
	write(t, strange, 100)
	write(t, nameless, 100)
	ahead, apart := trace, trace
	ahead.Revision += 5
	apart.Life = "of a start that this copy does not know"
	copied.Revision += 15
	for what, c := range map[string]struct {
		e     engine.Engine
		trace identity.Trace
		says  string
	}{
		"an empty database":               {empty, trace, "is empty"},
		"another cloud's":                 {strange, trace, "expected cluster " + string(trace.Cluster)},
		"one of before stores had name":   {nameless, trace, "has no name"},
		"an older copy":                   {mine, ahead, "up to revision 11, it has been at revision 16"},
		"an older copy, and a start":      {mine, copied, "up to revision 10, it has been at revision 16"},
		"a copy of before the last start": {mine, apart, "does not follow life of a start"},
	} {
		before, err := identity.Read(t.Context(), c.e)
		if err != nil {
			t.Fatal(err)
		}
		_, err = identity.Admit(t.Context(), c.e, "db", c.trace)
		for _, word := range []string{c.says, "db is not used", string(trace.Cluster), "neutrino restore", "neutrino server sign", "init --force"} {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v; want %q", what, err, word)
			}
		}
		if after, err := identity.Read(t.Context(), c.e); err != nil || after.Revision != before.Revision {
			t.Errorf("%s was written to: %+v, before %+v", what, after, before)
		}
	}
}

func TestAMissingDatabaseIsNotMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := identity.Look(t.Context(), path, identity.Trace{}); err != nil {
		t.Errorf("a first start: %v", err)
	}
	trace := admit(t, open(t, sqlite.Memory), identity.Trace{})
	if err := identity.Look(t.Context(), path, trace); err == nil || !strings.Contains(err.Error(), "no database") {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := identity.Look(t.Context(), path, trace); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty file: %v", err)
	}
}

// A copy of before is put in place and signed: the new life follows the one that
// the trace knows, up to the copy's revision.
func TestASignedCopyFollowsTheLifeThatItReplaces(t *testing.T) {
	e := open(t, sqlite.Memory)
	trace := admit(t, e, identity.Trace{})
	write(t, e, 4)
	was := trace
	was.Revision = 100 // what served had come further
	was.Life, was.Past = "another", []neutrino.PastLife{{Life: trace.Life, Revision: 50}}
	now, err := identity.Sign(t.Context(), e, was.StoreIdentity)
	if err != nil {
		t.Fatal(err)
	}
	for _, life := range []neutrino.ID{trace.Life, was.Life} {
		if p, ok := now.Follows(life); !ok || p.Revision != 5 || !p.Restored {
			t.Errorf("life %s: %+v, %v; want revision 5, restored", life, p, ok)
		}
	}
	if now.Cluster != trace.Cluster || now.Life == trace.Life || now.Revision != 6 || was.Step(now) != neutrino.StepNext || !was.Loses(now) {
		t.Errorf("signed %+v", now)
	}
	again := admit(t, e, was) // as if the restoration had ended before it wrote the trace
	if p, ok := again.Follows(now.Life); !ok || p.Restored || was.Step(again.StorePosition) != neutrino.StepNext {
		t.Errorf("after the signing %+v", again)
	}
	if _, err := identity.Sign(t.Context(), e, neutrino.StoreIdentity{Cluster: "b", Life: "x"}); err == nil {
		t.Error("it was signed as another cluster's")
	}
}

// A copy of before stores had names gets the cluster's.
func TestASignedCopyWithoutANameGetsTheClusters(t *testing.T) {
	e := open(t, sqlite.Memory)
	write(t, e, 4)
	now, err := identity.Sign(t.Context(), e, neutrino.StoreIdentity{Cluster: "a", Life: "1"})
	if p, ok := now.Follows("1"); err != nil || now.Cluster != "a" || !ok || p.Revision != 4 {
		t.Errorf("signed %+v, %v", now, err)
	}
}

// busy changes the store between the reading and the signing.
type busy struct {
	*sqlite.Engine
	t *testing.T
}

func (b busy) Txn(ctx context.Context, compares []engine.Compare, then []engine.Op) (int64, bool, error) {
	write(b.t, b.Engine, 1)
	return b.Engine.Txn(ctx, compares, then)
}

func TestNothingIsSignedThatChangesMeanwhile(t *testing.T) {
	e := open(t, sqlite.Memory)
	before := admit(t, e, identity.Trace{})
	if _, err := identity.Sign(t.Context(), busy{e, t}); !errors.Is(err, identity.ErrChanged) {
		t.Errorf("signed: %v", err)
	}
	if now, err := identity.Read(t.Context(), e); err != nil || now.Life != before.Life {
		t.Errorf("it is %+v, %v", now, err)
	}
}

func TestATraceIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), identity.TraceName)
	if got, err := identity.ReadTrace(t.Context(), path); err != nil || got.Named() {
		t.Errorf("without a file: %+v, %v", got, err)
	}
	want := admit(t, open(t, sqlite.Memory), identity.Trace{})
	if err := identity.WriteTrace(t.Context(), path, want); err != nil {
		t.Fatal(err)
	}
	got, err := identity.ReadTrace(t.Context(), path)
	if err != nil || got.Database != "db" || got.Life != want.Life || got.Revision != want.Revision {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, damage := range []string{"", "{}", `{"cluster": "a"`} {
		if err := os.WriteFile(path, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.ReadTrace(t.Context(), path); err == nil || !strings.Contains(err.Error(), "init --force") {
			t.Errorf("%q: %v", damage, err)
		}
	}
}
