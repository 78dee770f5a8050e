package hosttest_test

import (
	"errors"
	"testing"

	"neutrino/host"
	"neutrino/host/hosttest"
	"neutrino/reconcile"
)

func TestTheFakeConforms(t *testing.T) {
	f := hosttest.NewFake[string, host.File](&hosttest.Machine{})
	items := map[string]host.File{"/a": {Content: "1", Mode: 0o644}, "/b": {Content: "2"}}
	hosttest.Conform(t, f, items, func(a, b host.File) bool { return a == b })
}

func TestACrashStopsInTheMiddleOfABatch(t *testing.T) {
	m := &hosttest.Machine{}
	f := hosttest.NewFake[string, host.File](m)
	m.CrashAfter(1)
	err := f.Apply(t.Context(), reconcile.Diff[string, host.File]{Put: map[string]host.File{"/a": {}, "/b": {}}})
	if !errors.Is(err, hosttest.ErrCrashed) || len(f.Items) != 1 || !m.Crashed() {
		t.Fatalf("err %v, items %v", err, f.Items)
	}
	if _, err := f.Read(t.Context()); !errors.Is(err, hosttest.ErrCrashed) {
		t.Fatalf("read after the crash: %v", err)
	}
	m.Revive()
	if have, err := f.Read(t.Context()); err != nil || len(have) != 1 {
		t.Fatalf("after revival: %v, %v", have, err)
	}
}
