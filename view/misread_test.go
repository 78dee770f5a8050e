package view_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/view"
)

// whole is a host with a row of every kind.
func whole() *view.Host {
	h := view.New("c1")
	v := reflect.ValueOf(h).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Map || f.Type().Key() != reflect.TypeFor[neutrino.ID]() {
			continue
		}
		row := reflect.New(f.Type().Elem()).Elem()
		f.SetMapIndex(reflect.ValueOf(neutrino.ID("x")), row)
	}
	h.Networks["x"] = view.Network{Network: neutrino.Network{ID: "x"}, LocalVLAN: 1}
	h.Ports["x"] = neutrino.Port{ID: "x", NetworkID: "x", FixedIPs: []neutrino.FixedIP{{SubnetID: "x", IPAddress: netip.MustParseAddr("192.0.2.1")}}}
	h.Rules["x"] = neutrino.SecurityGroupRule{ID: "x", SecurityGroupID: "g", Direction: neutrino.Ingress, EtherType: neutrino.IPv4}
	return h
}

// tomorrow is the row with an attribute that this program does not know.
func tomorrow(t *testing.T, r view.Row, value string) view.Row {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(r.Value, &all); err != nil {
		t.Fatal(err)
	}
	all["of_tomorrow"] = json.RawMessage(value)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	r.Value = text
	return r
}

func apply(t *testing.T, h *view.Host, d view.Delta) *view.Host {
	t.Helper()
	out, err := view.Apply(h, d)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// An object of any kind with an attribute that is not known is refused as a
// whole, others are as they were, and it comes when it is understood.
func TestAnUnknownAttributeRefusesItsObjectOfAnyKind(t *testing.T) {
	h := whole()
	rows := view.Rows(h)
	if len(rows) != len(view.Kinds()) {
		t.Fatalf("%d rows of %d kinds", len(rows), len(view.Kinds()))
	}
	for _, r := range rows {
		got := apply(t, h, view.Delta{Puts: []view.Row{tomorrow(t, r, `"x"`)}})
		m, refused := got.Misread[r.Key()]
		if !refused || !strings.Contains(m.Reason, "of_tomorrow") || len(got.Misread) != 1 {
			t.Errorf("%s: misread %+v", r.Kind, got.Misread)
		}
		want := apply(t, h, view.Delta{Drops: []view.Key{r.Key()}})
		if view.Text(got) != view.Text(want) {
			t.Errorf("%s: the view is\n%s\nwithout the object it is\n%s", r.Kind, view.Text(got), view.Text(want))
		}
		for what, d := range map[string]view.Delta{"understood": {Puts: []view.Row{r}}, "gone": {Drops: []view.Key{r.Key()}}} {
			if after := apply(t, got, d); len(after.Misread) != 0 {
				t.Errorf("%s: %s, and still misread: %v", r.Kind, what, after.Misread)
			}
		}
		if back := apply(t, got, view.Delta{Puts: []view.Row{r}}); view.Text(back) != view.Text(h) {
			t.Errorf("%s: when it is understood the view is\n%s", r.Kind, view.Text(back))
		}
		for _, empty := range []string{"null", "false", `""`, "0", "[]", "{}"} {
			if same := apply(t, h, view.Delta{Puts: []view.Row{tomorrow(t, r, empty)}}); len(same.Misread) != 0 || view.Text(same) != view.Text(h) {
				t.Errorf("%s: an attribute that is %s is not unset: %v", r.Kind, empty, same.Misread)
			}
		}
	}
}

func TestAMisreadRowSaysWhatItBelongsTo(t *testing.T) {
	rule := view.Row{Kind: "rule", ID: "r", Value: json.RawMessage(`{"id":"r","security_group_id":"g","remote_address_group_id":"a"}`)}
	got := apply(t, view.New("c1"), view.Delta{Puts: []view.Row{rule, {Kind: "port", ID: "p", Value: json.RawMessage("{")}}})
	if m := got.Misread[rule.Key()]; m.Group != "g" || m.Reason != "attribute not known here: remote_address_group_id" {
		t.Errorf("%+v", m)
	}
	if m := got.Misread[view.Key{Kind: "port", ID: "p"}]; !strings.Contains(m.Reason, "cannot be read here") || len(got.Ports) != 0 {
		t.Errorf("%+v", m)
	}
}

func TestAnUnknownKindIsLeftOutOnlyWhereMarked(t *testing.T) {
	h := whole()
	r := view.Row{Kind: "mystery", ID: "x", Value: json.RawMessage(`{}`)}
	if _, err := view.Apply(h, view.Delta{Puts: []view.Row{r}}); err == nil || !strings.Contains(err.Error(), "mystery") {
		t.Errorf("taken, or refused without its name: %v", err)
	}
	r.Ignorable = true
	if got := apply(t, h, view.Delta{Puts: []view.Row{r}}); view.Text(got) != view.Text(h) || len(got.Misread) != 0 {
		t.Errorf("a row that may be left out changed the view:\n%s", view.Text(got))
	}
	apply(t, h, view.Delta{Drops: []view.Key{r.Key()}})
}

func TestKindsNameTheirAttributes(t *testing.T) {
	known := map[string][]string{}
	for _, k := range view.Kinds() {
		known[k.Name] = k.Attributes
	}
	for kind, attribute := range map[string]string{"port": "fixed_ips.subnet_id", "network": "local_vlan", "rule": "remote_group_id", "neighbour": "tunnel_ip"} {
		if !slices.Contains(known[kind], attribute) {
			t.Errorf("%s has the attributes %v, not %s", kind, known[kind], attribute)
		}
	}
	newer := append(view.Kinds(), view.Kind{Name: "mystery"})
	for i, k := range newer {
		if k.Name == "rule" {
			newer[i].Attributes = append(slices.Clone(k.Attributes), "remote_address_group_id")
		}
	}
	if got := view.Lacks(newer, view.Kinds()); !slices.Equal(got, []string{"mystery", "rule.remote_address_group_id"}) {
		t.Errorf("lacks %v", got)
	}
	if got := view.Lacks(view.Kinds(), newer); len(got) != 0 {
		t.Errorf("a newer program lacks %v", got)
	}
	if n := len(fmt.Sprint(maps.Values(known), known)); n > 32<<10 {
		t.Errorf("what a hello says of the kinds has %d bytes", n)
	}
}
