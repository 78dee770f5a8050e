package space

import (
	"fmt"
	"testing"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
	"neutrino/store/storetest"
)

func TestSpacesAreCountedWhereTheyAreGivenOut(t *testing.T) {
	db := storetest.Open(t)
	config := work.DefaultConfig()
	config.TunnelRanges = map[neutrino.NetworkType][]work.Range{neutrino.GRE: {{Min: 1, Max: 4}, {Min: 11, Max: 16}}}
	config.NetworkVLANRanges = map[string][]work.Range{"physnet1": {{Min: 100, Max: 103}}}
	_, err := db.Update(t.Context(), func(tx *store.Tx) error {
		for _, key := range []int64{1, 4, 5, 11, 16, 17} { // 5 and 17 were named by an administrator
			id := neutrino.ID(fmt.Sprint("gre", key))
			store.Put(tx, store.Networks, &neutrino.Network{ID: id, NetworkType: neutrino.GRE, SegmentationID: key})
			store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: id, LocalVLAN: uint16(key)})
		}
		for _, vlan := range []int64{100, 103, 104} {
			store.Put(tx, store.Networks, &neutrino.Network{ID: neutrino.ID(fmt.Sprint("vlan", vlan)), NetworkType: neutrino.VLAN,
				PhysicalNetwork: "physnet1", SegmentationID: vlan})
		}
		store.Put(tx, store.Hosts, &neutrino.Host{Name: "c1"})
		store.Put(tx, store.Ports, &neutrino.Port{ID: "p", HostID: "c1"})
		store.Put(tx, store.HostScopes, &neutrino.HostScope{Host: "c1", ScopeID: "s", Mark: 1025})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Space{
		{TunnelKeys, "gre", 4, 10}, {VLANs, "physnet1", 2, 4},
		{ScopeMarks, "c1", 1, 64511}, {LocalVLANs, "c1", 6, 4094}, {CTZones, "c1", 1, 61439},
	}
	if got := All(db.Snapshot(), &config); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestAlarmBeginsAndEndsOnce(t *testing.T) {
	var a Alarms
	for i, step := range []struct {
		used, begun, ended, on int
	}{
		{79, 0, 0, 0}, {80, 1, 0, 1}, {95, 0, 0, 1}, {80, 0, 0, 1}, {79, 0, 0, 1}, {75, 0, 0, 1}, {74, 0, 1, 0}, {79, 0, 0, 0}, {100, 1, 0, 1},
	} {
		begun, ended := a.Look([]Space{{TunnelKeys, "gre", int64(step.used), 100}, {TunnelKeys, "vxlan", 0, 100}, {VLANs, "none", 0, 0}})
		if len(begun) != step.begun || len(ended) != step.ended || len(a.On()) != step.on {
			t.Errorf("step %d: begun %v, ended %v, on %v", i, begun, ended, a.On())
		}
	}
	if _, ended := a.Look(nil); len(ended) != 1 || len(a.On()) != 0 {
		t.Errorf("a space that is gone: ended %v, on %v", ended, a.On())
	}
}
