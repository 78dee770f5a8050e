package view_test

import (
	"testing"

	"neutrino"
	"neutrino/store"
	"neutrino/view"
)

// A label is known where a router of its project runs, a shared one wherever a
// router runs; and its rules come and go with it.
func TestALabelIsKnownWhereItsRoutersRun(t *testing.T) {
	db := cloud(t)
	update(t, db, func(tx *store.Tx) {
		for router, host := range map[neutrino.ID]string{"red": "c1", "blue": "c2"} {
			store.Put(tx, store.Routers, &neutrino.Router{ID: router, ProjectID: string(router)})
			store.Put(tx, store.RouterBindings, &neutrino.RouterBinding{RouterID: router, Host: host})
		}
	})
	rule := &neutrino.MeteringLabelRule{ID: "r", MeteringLabelID: "l", Direction: neutrino.Egress, ProjectID: "red"}
	label := neutrino.MeteringLabel{ID: "l", ProjectID: "red", Name: "web"}
	steps := []struct {
		name    string
		do      func(tx *store.Tx)
		touched []string
		knows   map[string][2]int // labels and rules by host
	}{
		{"a label of red", func(tx *store.Tx) { store.Put(tx, store.MeteringLabels, &label) }, []string{"c1"}, map[string][2]int{"c1": {1, 0}}},
		{"its rule", func(tx *store.Tx) { store.Put(tx, store.MeteringLabelRules, rule) }, []string{"c1"}, map[string][2]int{"c1": {1, 1}}},
		{"written as it is", func(tx *store.Tx) { store.Put(tx, store.MeteringLabels, &label) }, nil, map[string][2]int{"c1": {1, 1}}},
		{"a shared one", func(tx *store.Tx) {
			store.Put(tx, store.MeteringLabels, &neutrino.MeteringLabel{ID: "s", Shared: true})
		}, []string{"c1", "c2"}, map[string][2]int{"c1": {2, 1}, "c2": {1, 0}}},
		{"red's router moves", func(tx *store.Tx) {
			store.Put(tx, store.RouterBindings, &neutrino.RouterBinding{RouterID: "red", Host: "c2"})
		}, []string{"c1", "c2"}, map[string][2]int{"c2": {2, 1}}},
		{"red's label goes", func(tx *store.Tx) {
			store.Delete(tx, store.MeteringLabelRules, "r")
			store.Delete(tx, store.MeteringLabels, "l")
		}, []string{"c2"}, map[string][2]int{"c2": {1, 0}}},
	}
	for _, k := range steps {
		got := view.Touched(db.Snapshot(), update(t, db, k.do))
		if len(got) != len(k.touched) {
			t.Errorf("%s touched %v, want %v", k.name, got, k.touched)
		}
		for _, h := range k.touched {
			if !got[h] {
				t.Errorf("%s did not touch %s", k.name, h)
			}
		}
		for _, name := range []string{"c1", "c2"} {
			h := view.For(db.Snapshot(), name)
			if have := [2]int{len(h.MeteringLabels), len(h.MeteringRules)}; have != k.knows[name] {
				t.Errorf("%s: %s knows %v labels and rules, want %v", k.name, name, have, k.knows[name])
			}
			if h.MeteringLabels["l"].Name != "" || h.MeteringRules["r"].ProjectID != "" {
				t.Errorf("%s: %s knows what no plan depends on", k.name, name)
			}
		}
	}
}
