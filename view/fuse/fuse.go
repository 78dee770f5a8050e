// Package fuse decides what of a new view a host acts on. A view that would end
// a large share of what serves traffic, with no proof that somebody asked for
// that, is held: what the host has and the view lacks stays in force, while
// everything new goes on. Absence is not deletion. It is pure: the caller brings
// the clock and the proofs.
package fuse

import (
	"slices"
	"time"

	"neutrino"
	"neutrino/view"
)

// Settings say when a view is held.
type Settings struct {
	// Share is the percentage of what serves that one hour may end without a proof;
	// 0 turns the fuse off.
	Share int
	// Minimum is how many objects have to end at least.
	Minimum int
}

// Default is more than 30 percent, and at least 5 objects.
var Default = Settings{Share: 30, Minimum: 5}

// Window is the time over which drops without a proof add up, so that a view that
// loses a little with each revision does not get past the fuse.
const Window = time.Hour

// State is what a host has in force.
type State struct {
	// InForce is the view that was planned last, with what is held in it; nil while
	// nothing is known to be in force, and then nothing can be held.
	InForce *view.Host
	// Since is when the fuse blew; zero while nothing is held.
	Since time.Time
	// Passed are the drops that no proof was asked for, within [Window].
	Passed []Passed
}

// Passed is how many objects a view ended that no proof was asked for.
type Passed struct {
	At      time.Time
	Objects int
}

// Input is what a decision depends on beside the state.
type Input struct {
	Next *view.Host
	// Gone is the proofs: of keys that [Outcome.Ask] named, who asked for their end.
	Gone map[view.Key]string
	// Released are held objects that a person on the host has given up.
	Released map[view.Key]bool
	// Strict holds every object without a proof, however few they are.
	Strict bool
	Now    time.Time
	Settings
}

// Outcome is what to act on.
type Outcome struct {
	// State is the new state; its InForce is what to plan. It is Input.Next itself
	// when nothing is held.
	State
	// Held are the objects that only the fuse keeps, sorted; Serving is how many
	// objects served before the decision.
	Held    []view.Key
	Serving int
	// Ask are the keys that a proof would end: Held, and the rows that are kept for
	// them. A member of a group has the key of kind [KindMember].
	Ask []view.Key
	// Waiting are new objects that need what a held one has.
	Waiting []Waiting
}

// Waiting is a new object that is left out while the fuse holds, and why.
type Waiting struct {
	Key    view.Key
	Reason string
}

// The kinds of keys that name no row of their own: a network's DHCP service by
// the network's ID, and an address of a group by [MemberID].
const (
	KindDHCP   = "dhcp"
	KindMember = "member"
)

// Step decides how a host that is in a state takes a view.
func Step(s State, in Input) Outcome {
	out := Outcome{State: State{InForce: in.Next, Passed: recent(s.Passed, in.Now)}}
	if s.InForce == nil || in.Share <= 0 || s.InForce == in.Next {
		return out
	}
	lost := compare(s.InForce, in)
	out.Serving = lost.serving
	blown := !s.Since.IsZero() && len(lost.all()) > 0
	switch {
	case blown:
		out.Since = s.Since
	case lost.exceeds(in, total(out.Passed)):
		out.Since = in.Now
	default:
		if n := len(lost.objects); n > 0 {
			out.Passed = append(out.Passed, Passed{At: in.Now, Objects: n})
		}
		return out
	}
	out.Held = lost.all()
	u := unite(s.InForce, in, out.Held)
	out.InForce, out.Ask, out.Waiting = u.out, u.ask, u.waiting
	return out
}

func recent(all []Passed, now time.Time) []Passed {
	return slices.DeleteFunc(slices.Clone(all), func(p Passed) bool { return now.Sub(p.At) >= Window })
}

func total(all []Passed) (n int) {
	for _, p := range all {
		n += p.Objects
	}
	return n
}

// loss is what a view would end without a proof.
type loss struct {
	objects    []view.Key // what serves
	serving    int        // how many served
	rules      []view.Key // of groups that remain: what they let in ends
	hadRules   int
	neighbours []view.Key // in networks that remain: the way to them ends
	hadWays    int
}

func (l *loss) all() []view.Key {
	all := slices.Concat(l.objects, l.rules, l.neighbours)
	slices.SortFunc(all, compareKeys)
	return all
}

// exceeds reports whether the loss, with what passed before, is more than may
// pass. What serving rests on has shares of its own.
func (l *loss) exceeds(in Input, passed int) bool {
	over := func(lost, of int) bool { return lost >= in.Minimum && 100*lost > in.Share*of }
	if len(l.objects) > 0 && (in.Strict || over(len(l.objects)+passed, l.serving+passed)) {
		return true
	}
	return over(len(l.rules), l.hadRules) || over(len(l.neighbours), l.hadWays)
}

// compare finds what is in force and would end.
func compare(old *view.Host, in Input) *loss {
	l, next := &loss{}, lookAt(in.Next)
	settled := func(k view.Key) bool { _, gone := in.Gone[k]; return gone || in.Released[k] }
	for _, k := range Serving(old) {
		l.serving++
		if !next.has(k) && !settled(k) && !movedAway(in.Next, k) {
			l.objects = append(l.objects, k)
		}
	}
	for id, r := range old.Rules {
		if _, remains := in.Next.Groups[r.SecurityGroupID]; !remains {
			continue
		}
		l.hadRules++
		k := view.Key{Kind: view.KindRule, ID: string(id)}
		if _, has := in.Next.Rules[id]; !has && !settled(k) {
			l.rules = append(l.rules, k)
		}
	}
	for id, n := range old.Neighbours {
		if _, remains := in.Next.Networks[n.NetworkID]; !remains || n.Host == "" {
			continue
		}
		l.hadWays++
		k := view.Key{Kind: view.KindNeighbour, ID: string(id)}
		_, has := in.Next.Neighbours[id]
		_, here := in.Next.Ports[id]
		if !has && !here && !settled(k) {
			l.neighbours = append(l.neighbours, k)
		}
	}
	return l
}

// Serving are the objects of a view that serve traffic, sorted: ports that are
// wired here, networks that are served with DHCP here, routers and floating IPs.
func Serving(h *view.Host) []view.Key {
	var all []view.Key
	l := lookAt(h)
	add := func(kind string, id neutrino.ID) {
		if k := (view.Key{Kind: kind, ID: string(id)}); l.has(k) {
			all = append(all, k)
		}
	}
	for id, p := range h.Ports {
		if p.DeviceOwner != neutrino.OwnerDHCP && p.AdminStateUp {
			add(view.KindPort, id)
		}
	}
	for id := range l.dhcp {
		add(KindDHCP, id)
	}
	for id, r := range h.Routers {
		if r.AdminStateUp {
			add(view.KindRouter, id)
		}
	}
	for id := range h.FloatingIPs {
		add(view.KindFloatingIP, id)
	}
	slices.SortFunc(all, compareKeys)
	return all
}

// look is a view with the networks that it serves with DHCP.
type look struct {
	*view.Host
	dhcp map[neutrino.ID]bool
}

func lookAt(h *view.Host) look {
	l := look{h, map[neutrino.ID]bool{}}
	for _, p := range h.Ports {
		if p.DeviceOwner == neutrino.OwnerDHCP && h.Networks[p.NetworkID].DHCP && wired(h, p) {
			l.dhcp[p.NetworkID] = true
		}
	}
	return l
}

// has reports whether a view has an object with all that it cannot serve
// without. That somebody turned it off does not matter here.
func (l look) has(k view.Key) bool {
	id := neutrino.ID(k.ID)
	switch k.Kind {
	case view.KindPort:
		p, ok := l.Ports[id]
		return ok && wired(l.Host, p)
	case KindDHCP:
		return l.dhcp[id]
	case view.KindRouter:
		_, ok := l.Routers[id]
		return ok
	case view.KindFloatingIP:
		f, ok := l.FloatingIPs[id]
		_, runs := l.Routers[f.RouterID]
		return ok && runs
	}
	return false
}

// wired reports whether a view has what a port rests on: its network, the subnets
// of its addresses, and its groups.
func wired(h *view.Host, p neutrino.Port) bool {
	if _, ok := h.Networks[p.NetworkID]; !ok {
		return false
	}
	for _, f := range p.FixedIPs {
		if _, ok := h.Subnets[f.SubnetID]; !ok {
			return false
		}
	}
	for _, g := range p.SecurityGroups {
		if _, ok := h.Groups[g]; !ok {
			return false
		}
	}
	return true
}

// movedAway reports whether the view itself says that another host has the port
// now. To keep it here would be to have it twice.
func movedAway(next *view.Host, k view.Key) bool {
	n, ok := next.Neighbours[neutrino.ID(k.ID)]
	return k.Kind == view.KindPort && ok && n.Host != "" && n.Host != next.Name
}
