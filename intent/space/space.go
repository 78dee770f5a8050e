// Package space is the part of the intent station that says how full the spaces
// are that a cloud shares and that have an end: keys of tunnels, VLANs, marks of
// address scopes, local VLANs and conntrack zones of the hosts.
package space

import (
	"maps"
	"slices"

	"neutrino"
	"neutrino/intent/work"
	"neutrino/store"
)

// The kinds of spaces.
const (
	TunnelKeys  = "tunnel_keys"    // of a type of networks, in the ranges that are given out
	VLANs       = "vlans"          // of a physical network, in the ranges that are given out
	ScopeMarks  = "scope_marks"    // of a host, one for each address scope there
	LocalVLANs  = "local_vlans"    // of a host, one for each network there
	CTZones     = "conntrack_zone" // of a host, one for each port there
	StoreOnDisk = "disk"           // of the file system with the store
)

// Space is one of them, and how much of it is taken.
type Space struct {
	Kind string
	Of   string // the type, physical network or host that it is of; "" for the cloud's
	// Used of Size are taken.
	Used, Size int64
}

// Ratio is the used part, 0 to 1; a space without a size is empty.
func (s Space) Ratio() float64 {
	if s.Size <= 0 {
		return 0
	}
	return float64(s.Used) / float64(s.Size)
}

// All are the spaces of the cloud that the store knows of.
func All(r store.Reader, c *work.Config) []Space {
	out := segments(r, c)
	for h := range store.All(r, store.Hosts) {
		zones := store.Count(r, store.PortsByHost, h.Name) + store.Count(r, store.PortsByStandbyHost, h.Name)
		out = append(out,
			Space{ScopeMarks, h.Name, int64(store.Count(r, store.HostScopesByHost, h.Name)),
				int64(neutrino.LastScopeMark-neutrino.FirstScopeMark) + 1},
			Space{LocalVLANs, h.Name, int64(store.Count(r, store.HostNetworksByHost, h.Name)), neutrino.MaxLocalVLAN},
			Space{CTZones, h.Name, int64(zones), neutrino.MaxCTZone - neutrino.MinCTZone + 1})
	}
	return out
}

// segments are the numbers by which networks are told apart between hosts.
func segments(r store.Reader, c *work.Config) []Space {
	keys, vlans := map[neutrino.NetworkType]int64{}, map[string]int64{}
	for n := range store.All(r, store.Networks) {
		switch {
		case in(c.TunnelRanges[n.NetworkType], n.SegmentationID):
			keys[n.NetworkType]++
		case n.NetworkType == neutrino.VLAN && in(c.NetworkVLANRanges[n.PhysicalNetwork], n.SegmentationID):
			vlans[n.PhysicalNetwork]++
		}
	}
	var out []Space
	for _, t := range slices.Sorted(maps.Keys(c.TunnelRanges)) {
		out = append(out, Space{TunnelKeys, string(t), keys[t], size(c.TunnelRanges[t])})
	}
	for _, p := range slices.Sorted(maps.Keys(c.NetworkVLANRanges)) {
		out = append(out, Space{VLANs, p, vlans[p], size(c.NetworkVLANRanges[p])})
	}
	return out
}

func in(ranges []work.Range, id int64) bool {
	return slices.ContainsFunc(ranges, func(r work.Range) bool { return r.Min <= id && id <= r.Max })
}

func size(ranges []work.Range) (n int64) {
	for _, r := range ranges {
		n += r.Max - r.Min + 1
	}
	return n
}

// The alarm is on from the first share on and until less than the second is used,
// so that it does not come and go with each object.
const (
	alarmFrom  = 0.80
	alarmUntil = 0.75
)

// Alarms are the spaces that are nearly full. They are not safe for concurrent use.
type Alarms struct{ on map[string]Space }

// Look takes in how full the spaces are now, and gives those whose alarm begins and
// those whose alarm ends.
func (a *Alarms) Look(spaces []Space) (begun, ended []Space) {
	now := map[string]Space{}
	for _, s := range spaces {
		key := s.Kind + " " + s.Of
		_, was := a.on[key]
		switch ratio := s.Ratio(); {
		case ratio >= alarmFrom || was && ratio >= alarmUntil:
			now[key] = s
			if !was {
				begun = append(begun, s)
			}
		case was:
			ended = append(ended, s)
		}
	}
	for key, s := range a.on {
		if !slices.ContainsFunc(spaces, func(t Space) bool { return t.Kind+" "+t.Of == key }) {
			ended = append(ended, s) // its host is gone
		}
	}
	a.on = now
	return begun, ended
}

// On are the spaces whose alarm is on, in order.
func (a *Alarms) On() []Space {
	var out []Space
	for _, key := range slices.Sorted(maps.Keys(a.on)) {
		out = append(out, a.on[key])
	}
	return out
}
