package main

import (
	"bytes"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"neutrino"
	"neutrino/intent"
	"neutrino/intent/space"
	"neutrino/store"
	"neutrino/store/storetest"
)

// Four of five keys are taken: /readyz, the log and a gauge say so, and the log once.
func TestNearlyFullSpaceIsSpokenOf(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	v, err := serverFile(t, "[DEFAULT]\nstate_path = "+t.TempDir()+"\n[ml2_type_gre]\ntunnel_id_ranges = 1:5\n")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := intentConfig(v)
	if err != nil {
		t.Fatal(err)
	}
	db := storetest.Open(t)
	svc := intent.New(db, settings)
	s := newSpaces(db, settings, v)
	network := func() neutrino.ID {
		var id neutrino.ID
		err := svc.Do(t.Context(), intent.Caller{ProjectID: "alice", Admin: true}, func(tx *intent.Tx) error {
			n, err := intent.CreateNetwork(tx, neutrino.Network{AdminStateUp: true, NetworkType: neutrino.GRE},
				neutrino.Fields{"provider:network_type": true})
			if err == nil {
				id = n.ID
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	notes := func() []string {
		s.look()
		return slices.DeleteFunc(s.notes(), func(n string) bool { return strings.HasPrefix(n, space.StoreOnDisk) }) // this machine's
	}
	for range 3 {
		network()
	}
	if got := notes(); len(got) != 0 {
		t.Errorf("3 of 5 keys: %q", got)
	}
	fourth := network()
	for range 3 {
		if got := notes(); len(got) != 1 || got[0] != "tunnel_keys: 80 % are used" {
			t.Errorf("4 of 5 keys: %q", got)
		}
	}
	if n := strings.Count(log.String(), "space=tunnel_keys of=gre used=4 size=5"); n != 1 {
		t.Errorf("the log says it %d times: %s", n, log.String())
	}
	if got := gauges(t, s); got["tunnel_keys gre"] != 0.8 || got["disk store"] <= 0 || got["disk store"] > 1 {
		t.Errorf("gauges %v", got)
	}
	err = svc.Do(t.Context(), intent.Caller{Admin: true}, func(tx *intent.Tx) error { return intent.DeleteNetwork(tx, fourth) })
	if err != nil || store.Len(db.Snapshot(), store.Networks) != 3 {
		t.Fatal(err)
	}
	if got := notes(); len(got) != 0 || !strings.Contains(log.String(), "has room again") {
		t.Errorf("3 of 5 keys again: %q, %s", got, log.String())
	}
}

// gauges are the figures by "space of".
func gauges(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			value, _ := strconv.ParseFloat(strconv.FormatFloat(m.Gauge.GetValue(), 'f', 4, 64), 64)
			out[labels["space"]+" "+labels["of"]] = value
		}
	}
	return out
}
