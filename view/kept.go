package view

import (
	"encoding/json"
	"fmt"
	"slices"

	"neutrino"
)

// Over is the view with rows of an earlier one over it: kept are as they were
// there, left are not there. The addresses of a kept group are those of both views.
func Over(h *Host, kept []Row, left []Key) (*Host, error) {
	d := Delta{Drops: left}
	for _, r := range kept {
		if now, ok := h.Members[neutrino.ID(r.ID)]; ok && r.Kind == KindMembers {
			var was Members
			if err := json.Unmarshal(r.Value, &was); err != nil {
				return nil, fmt.Errorf("view: read %s %s: %w", r.Kind, r.ID, err)
			}
			now.Prefixes = slices.Concat(now.Prefixes, was.Prefixes)
			slices.SortFunc(now.Prefixes, comparePrefix)
			now.Prefixes = slices.Compact(now.Prefixes)
			r.Value = encode(now)
		}
		d.Puts = append(d.Puts, r)
	}
	return Apply(h, d)
}

// Clash is a row that uses what a kept row uses already: a local VLAN, a segment,
// a zone, an address.
type Clash struct {
	Key, Kept Key
	What      string // "local VLAN 5"
}

// use is something that only one object of a host can have.
type use struct {
	what   string // for people
	within neutrino.ID
	value  any
}

// Clashes are the rows of the view that use what a kept row of it uses, sorted.
// The rows of one port never clash with each other, unless it is here and
// elsewhere at once: then the one that is not kept clashes.
func Clashes(h *Host, kept func(Key) bool) []Clash {
	taken := map[use]Key{}
	each := func(visit func(Key, use)) {
		for id, n := range h.Networks {
			usesOfNetwork(n, func(u use) { visit(Key{KindNetwork, string(id)}, u) })
		}
		for id, p := range h.Ports {
			usesOfPort(p, func(u use) { visit(Key{KindPort, string(id)}, u) })
		}
		for id, nb := range h.Neighbours {
			if _, moving := h.Standby[id]; moving {
				continue // it is both by design
			}
			usesOfAddresses(nb.NetworkID, nb.MAC, nb.FixedIPs, func(u use) { visit(Key{KindNeighbour, string(id)}, u) })
			visit(Key{KindNeighbour, string(id)}, use{"being here", "", id})
		}
		for id, f := range h.FloatingIPs {
			visit(Key{KindFloatingIP, string(id)}, use{"floating IP", f.FloatingNetworkID, f.FloatingIPAddress})
		}
	}
	each(func(k Key, u use) {
		if kept(k) {
			taken[u] = k
		}
	})
	var all []Clash
	each(func(k Key, u use) {
		if with, ok := taken[u]; ok && with != k && !kept(k) {
			all = append(all, Clash{k, with, u.String()})
		}
	})
	slices.SortFunc(all, func(a, b Clash) int { return compareKeys(a.Key, b.Key) })
	return slices.CompactFunc(all, func(a, b Clash) bool { return a.Key == b.Key })
}

func (u use) String() string {
	if u.what == "being here" {
		return "place"
	}
	return fmt.Sprintf("%s %v", u.what, u.value)
}

func usesOfNetwork(n Network, visit func(use)) {
	visit(use{"local VLAN", "", n.LocalVLAN})
	if n.SegmentationID != 0 {
		visit(use{fmt.Sprintf("segment of type %s", n.NetworkType), neutrino.ID(n.PhysicalNetwork), n.SegmentationID})
	}
}

func usesOfPort(p neutrino.Port, visit func(use)) {
	usesOfAddresses(p.NetworkID, p.MAC, p.FixedIPs, visit)
	visit(use{"being here", "", p.ID})
	if p.CTZone != 0 {
		visit(use{"conntrack zone", "", p.CTZone})
	}
}

func usesOfAddresses(network neutrino.ID, mac neutrino.MAC, fixed []neutrino.FixedIP, visit func(use)) {
	visit(use{"MAC address", network, mac})
	for _, f := range fixed {
		visit(use{"address", network, f.IPAddress})
	}
}
