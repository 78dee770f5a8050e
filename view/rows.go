package view

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"neutrino"
	"neutrino/strictjson"
)

// Key names one row of a view. Kind is one of "network", "subnet", "port",
// "standby", "neighbour", "group", "rule", "members", "router", "floatingip", "forwarding",
// "meteringlabel", "meteringrule".
type Key struct{ Kind, ID string }

// The kinds of the rows whose status follows from what the host reports: its own
// ports, those that may move here, and the floating IPs of its routers.
const (
	KindPort       = "port"
	KindStandby    = "standby"
	KindFloatingIP = "floatingip"
)

// The kinds of the other rows.
const (
	KindNetwork       = "network"
	KindSubnet        = "subnet"
	KindNeighbour     = "neighbour"
	KindGroup         = "group"
	KindRule          = "rule"
	KindMembers       = "members"
	KindRouter        = "router"
	KindForwarding    = "forwarding"
	KindMeteringLabel = "meteringlabel"
	KindMeteringRule  = "meteringrule"
)

// Row is one object of a view, as the feed carries it. Value is its JSON form.
type Row struct {
	Kind, ID string
	Value    json.RawMessage
	// Ignorable is set where an agent that does not know the kind may leave the row
	// out: without it the host does less, and nothing is open that should be closed.
	Ignorable bool
}

// Key is the name of the row.
func (r Row) Key() Key { return Key{r.Kind, r.ID} }

// Delta is what turns one view into another. Puts and Drops are sorted by kind
// and ID, and no key stands in both.
type Delta struct {
	Puts  []Row
	Drops []Key
}

// Empty reports whether the delta changes nothing.
func (d Delta) Empty() bool { return len(d.Puts) == 0 && len(d.Drops) == 0 }

// kinds are the maps of a [Host] as rows.
var kinds = [...]kind{
	table[Network]{KindNetwork, func(h *Host) *map[neutrino.ID]Network { return &h.Networks }},
	table[neutrino.Subnet]{KindSubnet, func(h *Host) *map[neutrino.ID]neutrino.Subnet { return &h.Subnets }},
	table[neutrino.Port]{KindPort, func(h *Host) *map[neutrino.ID]neutrino.Port { return &h.Ports }},
	table[neutrino.Port]{KindStandby, func(h *Host) *map[neutrino.ID]neutrino.Port { return &h.Standby }},
	table[Neighbour]{KindNeighbour, func(h *Host) *map[neutrino.ID]Neighbour { return &h.Neighbours }},
	table[neutrino.SecurityGroup]{KindGroup, func(h *Host) *map[neutrino.ID]neutrino.SecurityGroup { return &h.Groups }},
	table[neutrino.SecurityGroupRule]{KindRule, func(h *Host) *map[neutrino.ID]neutrino.SecurityGroupRule { return &h.Rules }},
	table[Members]{KindMembers, func(h *Host) *map[neutrino.ID]Members { return &h.Members }},
	table[neutrino.Router]{KindRouter, func(h *Host) *map[neutrino.ID]neutrino.Router { return &h.Routers }},
	table[neutrino.FloatingIP]{KindFloatingIP, func(h *Host) *map[neutrino.ID]neutrino.FloatingIP { return &h.FloatingIPs }},
	table[neutrino.PortForwarding]{KindForwarding, func(h *Host) *map[neutrino.ID]neutrino.PortForwarding { return &h.Forwardings }},
	table[neutrino.MeteringLabel]{KindMeteringLabel, func(h *Host) *map[neutrino.ID]neutrino.MeteringLabel { return &h.MeteringLabels }},
	table[neutrino.MeteringLabelRule]{KindMeteringRule, func(h *Host) *map[neutrino.ID]neutrino.MeteringLabelRule { return &h.MeteringRules }},
}

type kind interface {
	name() string
	typ() reflect.Type
	diff(old, new *Host, d *Delta)
	own(h *Host) // gives h a map of its own
	put(h *Host, id neutrino.ID, value []byte) error
	drop(h *Host, id neutrino.ID)
}

type table[V any] struct {
	label string
	of    func(*Host) *map[neutrino.ID]V
}

func (t table[V]) name() string { return t.label }

func (t table[V]) diff(old, new *Host, d *Delta) {
	from, to := *t.of(old), *t.of(new)
	for id, v := range to {
		if was, ok := from[id]; ok && reflect.DeepEqual(was, v) {
			continue
		}
		d.Puts = append(d.Puts, Row{Kind: t.label, ID: string(id), Value: encode(v)})
	}
	for id := range from {
		if _, ok := to[id]; !ok {
			d.Drops = append(d.Drops, Key{t.label, string(id)})
		}
	}
}

func (t table[V]) own(h *Host) {
	m := t.of(h)
	*m = maps.Clone(*m)
}

func (t table[V]) put(h *Host, id neutrino.ID, value []byte) error {
	var v V
	if err := strictjson.Unmarshal(value, &v); err != nil {
		delete(*t.of(h), id)
		return err
	}
	(*t.of(h))[id] = v
	return nil
}

func (t table[V]) drop(h *Host, id neutrino.ID) { delete(*t.of(h), id) }

// encode cannot fail: the nouns hold no channel, function or cyclic value.
func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("view: encode %T: %v", v, err))
	}
	return b
}

// Rows is the whole view as rows, sorted by kind and ID.
func Rows(h *Host) []Row { return Diff(New(h.Name), h).Puts }

// Diff is what turns old into new.
func Diff(old, new *Host) Delta {
	var d Delta
	for _, k := range kinds {
		k.diff(old, new, &d)
	}
	slices.SortFunc(d.Puts, func(a, b Row) int { return compareKeys(a.Key(), b.Key()) })
	slices.SortFunc(d.Drops, compareKeys)
	return d
}

func compareKeys(a, b Key) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) }

// Apply is h with the delta applied; h itself stays as it is. A row that cannot
// be understood is in Misread; other rows do not notice. A kind that this
// version does not know is an [*UnknownKindError], unless its rows may be left
// out.
func Apply(h *Host, d Delta) (*Host, error) {
	c := *h
	c.Misread = maps.Clone(h.Misread)
	if c.Misread == nil {
		c.Misread = map[Key]Misread{}
	}
	known := map[string]kind{}
	for _, k := range kinds {
		known[k.name()] = k
	}
	owned := map[string]bool{}
	own := func(k kind) {
		if !owned[k.name()] {
			k.own(&c)
			owned[k.name()] = true
		}
	}
	for _, r := range d.Puts {
		k, ok := known[r.Kind]
		switch {
		case !ok && r.Ignorable:
			continue
		case !ok:
			return nil, &UnknownKindError{r.Kind}
		}
		own(k)
		delete(c.Misread, r.Key())
		if err := k.put(&c, neutrino.ID(r.ID), r.Value); err != nil {
			c.Misread[r.Key()] = misread(r.Value, err)
		}
	}
	for _, key := range d.Drops {
		if k, ok := known[key.Kind]; ok {
			own(k)
			delete(c.Misread, key)
			k.drop(&c, neutrino.ID(key.ID))
		}
	}
	return &c, nil
}

// Knows reports whether this program knows rows of the kind.
func Knows(name string) bool {
	return slices.ContainsFunc(kinds[:], func(k kind) bool { return k.name() == name })
}

// Digest is a checksum of the rows of a view, whatever their order: two ends
// that hold the same digest hold the same view.
func Digest(rows []Row) [sha256.Size]byte {
	sorted := slices.SortedFunc(slices.Values(rows), func(a, b Row) int { return compareKeys(a.Key(), b.Key()) })
	var buf bytes.Buffer
	for _, r := range sorted {
		fmt.Fprintf(&buf, "%q %q %d ", r.Kind, r.ID, len(r.Value))
		buf.Write(r.Value)
	}
	return sha256.Sum256(buf.Bytes())
}

// Text is the view for people and tests: one line for each row, sorted.
func Text(h *Host) string {
	var b strings.Builder
	fmt.Fprintf(&b, "host %s\n", h.Name)
	for _, r := range Rows(h) {
		fmt.Fprintf(&b, "%s %s %s\n", r.Kind, r.ID, r.Value)
	}
	return b.String()
}
