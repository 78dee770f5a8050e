package agent

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"neutrino"
	"neutrino/host"
	"neutrino/host/hosttest"
	"neutrino/host/iptables"
	"neutrino/plan/names"
)

// counterTables are counters by namespace and family.
type counterTables map[string]map[int]map[string]iptables.Count

func (c counterTables) Counters(_ context.Context, ns string, family int, _ string) (map[string]iptables.Count, error) {
	families, ok := c[ns]
	switch {
	case !ok:
		return nil, &host.Absent{What: "namespace " + ns}
	case families == nil:
		return nil, errors.New("no iptables-save")
	}
	return families[family], nil
}

// The status shows what each label counted on each router, of both families
// together; a router that is not there yet shows nothing, and one that cannot
// be read does not hide the others.
func TestTheStatusShowsWhatIsMetered(t *testing.T) {
	chains := names.MeterChains("neutron")
	v := small()
	for _, r := range []neutrino.Router{{ID: "red", ProjectID: "red"}, {ID: "blue", ProjectID: "blue"}, {ID: "late", ProjectID: "red"}, {ID: "broken", ProjectID: "red"}} {
		r.AdminStateUp = true
		v.Routers[r.ID] = r
	}
	v.Routers["down"] = neutrino.Router{ID: "down", ProjectID: "red"}
	v.MeteringLabels = map[neutrino.ID]neutrino.MeteringLabel{"own": {ID: "own", ProjectID: "red"}, "all": {ID: "all", Shared: true}}
	tables := counterTables{
		names.RouterNamespace("red"): {
			4: {chains.Counter("own"): {Packets: 3, Bytes: 300}, chains.Counter("all"): {Packets: 4, Bytes: 400}},
			6: {chains.Counter("own"): {Packets: 5, Bytes: 500}},
		},
		names.RouterNamespace("blue"):   {4: {chains.Counter("all"): {Packets: 1, Bytes: 40}, chains.Counter("own"): {Packets: 9}}},
		names.RouterNamespace("broken"): nil,
	}
	src := newSource()
	src.set(v, 1)
	m := &meters{chains: chains, tables: tables}
	if got, err := m.Metered(t.Context()); got != nil || err != nil {
		t.Errorf("before there is a view: %v, %v", got, err)
	}
	a := New(config(t), Deps{Source: src, Hands: handsOf(hosttest.New()), Surfaces: []any{m}})
	m.View(v)
	got, err := a.metered(t.Context())
	want := []Metered{{"all", "blue", 1, 40}, {"all", "red", 4, 400}, {"own", "red", 8, 800}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("metered %+v, want %+v", got, want)
	}
	if err == nil || !strings.Contains(err.Error(), "no iptables-save") {
		t.Errorf("error %v", err)
	}
}
