package view_test

import (
	"testing"

	"neutrino"
	"neutrino/store"
	"neutrino/view"
)

func TestAMigratingPortIsActiveOnOneHostAtATime(t *testing.T) {
	db := cloud(t)
	update(t, db, func(tx *store.Tx) {
		p := instance("p9", "c1", 9)
		p.Standby = []neutrino.PortBinding{{Host: "c2", VIFType: neutrino.VIFOVS, CTZone: 5000, Status: neutrino.BindingInactive}}
		store.Put(tx, store.Ports, p)
	})
	look := func(active, standby string) {
		t.Helper()
		s := db.Snapshot()
		a, b := view.For(s, active), view.For(s, standby)
		if _, ok := a.Ports["p9"]; !ok || len(a.Standby) != 0 {
			t.Errorf("%s: ports %v, standby %v", active, a.Ports, a.Standby)
		}
		if _, wired := b.Ports["p9"]; wired || b.Standby["p9"].HostID != standby || b.Neighbours["p9"].Host != active {
			t.Errorf("%s: standby %+v, neighbour %+v", standby, b.Standby, b.Neighbours["p9"])
		}
		if len(b.Groups) == 0 {
			t.Errorf("%s cannot filter the port", standby)
		}
	}
	look("c1", "c2")
	if got := view.For(db.Snapshot(), "c2").Standby["p9"].CTZone; got != 5000 {
		t.Errorf("zone %d", got)
	}
	changes := update(t, db, func(tx *store.Tx) {
		found, _ := store.Get(tx, store.Ports, "p9")
		p := *found
		last := p.Binding()
		p.Bind(p.Standby[0])
		p.Standby = []neutrino.PortBinding{last}
		store.Put(tx, store.Ports, &p)
	})
	look("c2", "c1")
	if got := view.Touched(db.Snapshot(), changes); !got["c1"] || !got["c2"] {
		t.Errorf("touched %v", got)
	}
}
