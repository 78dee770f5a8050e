package hosttest

import (
	"testing"

	"neutrino/reconcile"
)

// Conform checks what every hand promises, on a surface that has none of the
// items: what is put is read back the same, a second look wants nothing
// written, what is dropped is gone, and a drop of what is gone is no failure.
// Same compares as the agent's step for the surface does.
func Conform[K comparable, V any](t *testing.T, h reconcile.Hand[K, V], items map[K]V, same func(have, want V) bool) {
	t.Helper()
	ctx := t.Context()
	apply := func(what string, d reconcile.Diff[K, V]) {
		t.Helper()
		if err := h.Apply(ctx, d); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	read := func() map[K]V {
		t.Helper()
		have, err := h.Read(ctx)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		return have
	}
	before := read()
	apply("put", reconcile.Diff[K, V]{Put: items})
	have := read()
	for k, want := range items {
		got, ok := have[k]
		if !ok {
			t.Errorf("%v was put and is not there", k)
		} else if !same(got, want) {
			t.Errorf("%v was put as %+v and is read as %+v", k, want, got)
		}
	}
	apply("put again", reconcile.Diff[K, V]{Put: items})
	if n := len(read()); n != len(before)+len(items) {
		t.Errorf("%d items after a second put, want %d", n, len(before)+len(items))
	}
	apply("drop", reconcile.Diff[K, V]{Drop: items})
	apply("drop again", reconcile.Diff[K, V]{Drop: items})
	have = read()
	for k := range items {
		if _, ok := have[k]; ok {
			t.Errorf("%v was dropped and is there", k)
		}
	}
	if len(have) != len(before) {
		t.Errorf("%d items at the end, %d before", len(have), len(before))
	}
}
