package fuse

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"neutrino"
	"neutrino/view"
)

func compareKeys(a, b view.Key) int {
	return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.ID, b.ID))
}

// MemberID is the ID of an address of a group in a key of kind [KindMember].
func MemberID(group neutrino.ID, p netip.Prefix) string { return string(group) + " " + p.String() }

// union is a new view with what is kept of the one before.
type union struct {
	old, out *view.Host
	in       Input
	ask      []view.Key
	waiting  []Waiting
	taken    map[string]view.Key // what the rows that are kept need for themselves
}

// unite is the next view, with every row that it lacks and that nobody asked to
// end.
func unite(old *view.Host, in Input, held []view.Key) *union {
	next := in.Next
	u := &union{old: old, in: in, taken: map[string]view.Key{}}
	out := *next
	out.Networks = keep(u, view.KindNetwork, old.Networks, next.Networks)
	out.Subnets = keep(u, view.KindSubnet, old.Subnets, next.Subnets)
	out.Ports = keep(u, view.KindPort, old.Ports, next.Ports)
	out.Standby = keep(u, view.KindStandby, old.Standby, next.Standby)
	out.Neighbours = keep(u, view.KindNeighbour, old.Neighbours, next.Neighbours)
	out.Groups = keep(u, view.KindGroup, old.Groups, next.Groups)
	out.Rules = keep(u, view.KindRule, old.Rules, next.Rules)
	out.Members = keep(u, view.KindMembers, old.Members, next.Members)
	out.Routers = keep(u, view.KindRouter, old.Routers, next.Routers)
	out.FloatingIPs = keep(u, view.KindFloatingIP, old.FloatingIPs, next.FloatingIPs)
	out.Forwardings = keep(u, view.KindForwarding, old.Forwardings, next.Forwardings)
	out.MeteringLabels = keep(u, view.KindMeteringLabel, old.MeteringLabels, next.MeteringLabels)
	out.MeteringRules = keep(u, view.KindMeteringRule, old.MeteringRules, next.MeteringRules)
	u.out = &out
	u.members()
	u.elsewhere()
	for _, k := range held {
		if k.Kind == KindDHCP {
			u.serveDHCP(neutrino.ID(k.ID))
		}
	}
	u.ask = append(u.ask, held...)
	slices.SortFunc(u.ask, compareKeys)
	u.ask = slices.Compact(u.ask)
	u.settle()
	return u
}

// keep is a map of the new view with the rows of the old one that it lacks.
func keep[V any](u *union, kind string, old, next map[neutrino.ID]V) map[neutrino.ID]V {
	out := maps.Clone(next)
	if out == nil {
		out = map[neutrino.ID]V{}
	}
	for id, v := range old {
		if _, has := next[id]; has {
			continue
		}
		k := view.Key{Kind: kind, ID: string(id)}
		if _, gone := u.in.Gone[k]; gone || u.in.Released[k] || movedAway(u.in.Next, k) {
			continue
		}
		out[id] = v
		u.ask = append(u.ask, k)
	}
	return out
}

// members keeps the addresses that a group had: without them its members would
// not be let in, though they are there.
func (u *union) members() {
	for id, next := range u.in.Next.Members {
		all := slices.Clone(next.Prefixes)
		for _, p := range u.old.Members[id].Prefixes {
			k := view.Key{Kind: KindMember, ID: MemberID(id, p)}
			if _, gone := u.in.Gone[k]; !gone && !slices.Contains(next.Prefixes, p) {
				all = append(all, p)
				u.ask = append(u.ask, k)
			}
		}
		slices.SortFunc(all, func(a, b netip.Prefix) int {
			return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
		})
		next.Prefixes = all
		u.out.Members[id] = next
	}
}

// elsewhere takes out what the union would have in two places: a port is here,
// or may move here, or is somewhere else.
func (u *union) elsewhere() {
	for id := range u.out.Ports {
		delete(u.out.Neighbours, id)
		delete(u.out.Standby, id)
	}
}

func (u *union) serveDHCP(id neutrino.ID) {
	if n, ok := u.out.Networks[id]; ok {
		n.DHCP = true
		u.out.Networks[id] = n
	}
}

// settle leaves out what is new and needs what a kept row has: a VLAN, a
// conntrack zone, an address. What serves stays, what is new waits and says so.
func (u *union) settle() {
	claimsOf(u.out.Networks, u.in.Next.Networks, network, func(c string, k view.Key) { u.taken[c] = k })
	claimsOf(u.out.Ports, u.in.Next.Ports, port, func(c string, k view.Key) { u.taken[c] = k })
	claimsOf(u.out.Standby, u.in.Next.Standby, standby, func(c string, k view.Key) { u.taken[c] = k })
	claimsOf(u.out.Neighbours, u.in.Next.Neighbours, neighbour, func(c string, k view.Key) { u.taken[c] = k })
	claimsOf(u.out.FloatingIPs, u.in.Next.FloatingIPs, floating, func(c string, k view.Key) { u.taken[c] = k })
	wait(u, u.out.Networks, func(h *view.Host) map[neutrino.ID]view.Network { return h.Networks }, network)
	wait(u, u.out.Ports, func(h *view.Host) map[neutrino.ID]neutrino.Port { return h.Ports }, port)
	wait(u, u.out.Standby, func(h *view.Host) map[neutrino.ID]neutrino.Port { return h.Standby }, standby)
	wait(u, u.out.Neighbours, func(h *view.Host) map[neutrino.ID]view.Neighbour { return h.Neighbours }, neighbour)
	wait(u, u.out.FloatingIPs, func(h *view.Host) map[neutrino.ID]neutrino.FloatingIP { return h.FloatingIPs }, floating)
	slices.SortFunc(u.waiting, func(a, b Waiting) int { return compareKeys(a.Key, b.Key) })
}

// claimsOf names what the rows that only out has need for themselves.
func claimsOf[V any](out, next map[neutrino.ID]V, claims func(V) (view.Key, []string), take func(string, view.Key)) {
	for id, v := range out {
		if _, new := next[id]; new {
			continue
		}
		k, all := claims(v)
		for _, c := range all {
			take(c, k)
		}
	}
}

// wait takes rows of the next view out that need what is taken. One that was in
// force with something else keeps that.
func wait[V any](u *union, out map[neutrino.ID]V, of func(*view.Host) map[neutrino.ID]V, claims func(V) (view.Key, []string)) {
	free := func(v V) (string, view.Key, bool) {
		k, all := claims(v)
		for _, c := range all {
			if holder, taken := u.taken[c]; taken && holder.ID != k.ID {
				return c, holder, false
			}
		}
		return "", view.Key{}, true
	}
	for id, v := range of(u.in.Next) {
		claim, holder, ok := free(v)
		if ok {
			continue
		}
		k, _ := claims(v)
		u.waiting = append(u.waiting, Waiting{k, fmt.Sprintf("its %s is that of %s %s, which the fuse holds; neutrino agent release ends that", claim, holder.Kind, holder.ID)})
		delete(out, id)
		if was, had := of(u.old)[id]; had {
			if _, _, ok := free(was); ok {
				out[id] = was
			}
		}
	}
}

// What rows need for themselves, in words for people.

func network(n view.Network) (view.Key, []string) {
	return view.Key{Kind: view.KindNetwork, ID: string(n.ID)}, []string{fmt.Sprintf("local VLAN %d", n.LocalVLAN)}
}

func port(p neutrino.Port) (view.Key, []string) {
	return view.Key{Kind: view.KindPort, ID: string(p.ID)}, append(zone(p), stations(p.NetworkID, p.MAC, p.FixedIPs)...)
}

func standby(p neutrino.Port) (view.Key, []string) {
	return view.Key{Kind: view.KindStandby, ID: string(p.ID)}, zone(p)
}

func zone(p neutrino.Port) []string {
	if p.CTZone == 0 {
		return nil
	}
	return []string{fmt.Sprintf("conntrack zone %d", p.CTZone)}
}

func neighbour(n view.Neighbour) (view.Key, []string) {
	return view.Key{Kind: view.KindNeighbour, ID: string(n.ID)}, stations(n.NetworkID, n.MAC, n.FixedIPs)
}

func stations(network neutrino.ID, mac neutrino.MAC, ips []neutrino.FixedIP) []string {
	all := []string{fmt.Sprintf("MAC address %s on network %s", mac, network)}
	for _, f := range ips {
		all = append(all, fmt.Sprintf("address %s on network %s", f.IPAddress, network))
	}
	return all
}

func floating(f neutrino.FloatingIP) (view.Key, []string) {
	return view.Key{Kind: view.KindFloatingIP, ID: string(f.ID)}, []string{fmt.Sprintf("floating address %s", f.FloatingIPAddress)}
}
