package hostile

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"neutrino"
	"neutrino/host"
	"neutrino/host/openflow"
	"neutrino/view"
)

// planned is a host's view and the plan that came of it.
type planned struct {
	view  *view.Host
	state *host.State
}

// judge looks at plans. What is in them goes to the real tools once, at the end,
// each distinct rule, set and line with the request that first led to it.
type judge struct {
	t      testing.TB
	looked int
	seen   map[string]*view.Host
	rules  map[rule]string
	chains map[chain]bool
	sets   map[string]string // what ipset reads, by the text
	flows  map[string]string
	// canonical has the flows that were read already.
	canonical map[host.FlowKey]host.FlowKey
	options   map[string]string // lines of dnsmasq's options file
	clients   map[string]string // of its hosts file
	commands  map[string]string // arguments of dnsmasq
}

type chain struct {
	family      int
	table, name string
}

type rule struct {
	family      int
	table, text string
}

func newJudge(t testing.TB) *judge {
	return &judge{t: t, seen: map[string]*view.Host{}, rules: map[rule]string{}, chains: map[chain]bool{}, sets: map[string]string{},
		flows: map[string]string{}, canonical: map[host.FlowKey]host.FlowKey{}, options: map[string]string{}, clients: map[string]string{}, commands: map[string]string{}}
}

// look plans both hosts after a request and judges what is new.
func (j *judge) look(w *world, request string) {
	for name, p := range w.hosts() {
		if old := j.seen[name]; old != nil && reflect.DeepEqual(old, p.view) {
			continue
		}
		j.seen[name] = p.view
		j.looked++
		for _, problem := range j.judge(p, request) {
			j.t.Errorf("%s on %s: %s", request, name, problem)
		}
	}
}

// judge is what is wrong with a plan.
func (j *judge) judge(p *planned, request string) []string {
	var out []string
	wrong := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	j.firewall(p.state, request, wrong)
	j.switches(p.state, request, wrong)
	j.devices(p.state, wrong)
	j.dnsmasq(p, request, wrong)
	for line := range strings.SplitSeq(p.state.Text(), "\n") {
		if strings.Contains(line, canary) && strings.Contains(ownPlaces.ReplaceAllString(line, ""), canary) {
			wrong("a hostile text got into the plan: %.300q", line)
		}
	}
	return out
}

// The places where a tenant's text belongs: the value of an extra DHCP option,
// and the client's id. Names of physical networks are the operator's.
var ownPlaces = regexp.MustCompile(`(?m)(tag:port-[-0-9a-f]{36},[^,\n]*,.*$)|(,id:[^,\n]*,)|(physical network "[^\n]*)`)

var (
	plainRule    = regexp.MustCompile(`^[-A-Za-z0-9._:/,!@=+ ]*$`)
	zoneComment  = regexp.MustCompile(` -m comment --comment "Set zone for tap[-0-9a-f]{11}"`)
	zoneLine     = regexp.MustCompile(`^(ingress|egress) (4|6) (any|[0-9]{1,3}) (any|[0-9]+-([0-9]+|any)) (any|@NIPv[46][-0-9a-f]+|[0-9a-f.:]+/[0-9]+)$`)
	deviceName   = regexp.MustCompile(`^[-a-z0-9_]{1,15}$`)
	natLine      = regexp.MustCompile(`^[0-9a-f.:/-]+ [0-9a-f.:-]+$`)
	jumpsOfRules = regexp.MustCompile(` ?-[jg] ([-A-Za-z0-9_]+)`)
)

func (j *judge) firewall(s *host.State, request string, wrong func(string, ...any)) {
	for k, c := range s.Chains {
		j.chains[chain{k.Family, k.Table, k.Chain}] = true
		if len(k.Chain) > 28 {
			wrong("chain %q is longer than iptables takes", k.Chain)
		}
		for _, line := range lines(c.Rules) {
			if _, known := j.rules[rule{k.Family, k.Table, line}]; known {
				continue
			}
			bare := zoneComment.ReplaceAllString(line, "")
			if !plainRule.MatchString(bare) || len(jumpsOfRules.FindAllString(bare, -1)) > 1 || line == "" {
				wrong("chain %s: rule %q", k.Chain, line)
			}
			first(j.rules, rule{k.Family, k.Table, line}, request)
		}
	}
	for k, set := range s.Sets {
		text := "create " + k.Name + " hash:net family " + set.Family + "\n"
		members := lines(set.Members)
		for _, m := range members {
			text += "add " + k.Name + " " + m + "\n"
			if !isMember(m, set.Family) {
				wrong("set %s: member %q", k.Name, m)
			}
		}
		if !slices.IsSorted(members) || len(slices.Compact(slices.Clone(members))) != len(members) {
			wrong("set %s is not in order: %q", k.Name, members)
		}
		first(j.sets, text, request)
	}
	for zone, z := range s.Zones {
		for _, l := range lines(z.Allow) {
			if !zoneLine.MatchString(l) {
				wrong("zone %d: %q", zone, l)
			}
		}
	}
	for ns, n := range s.Translations {
		for _, l := range append(lines(n.DNAT), lines(n.SNAT)...) {
			if !natLine.MatchString(l) {
				wrong("translation of %s: %q", ns, l)
			}
		}
	}
}

// isMember is what a hash:net of the family can hold (ipset(8)).
func isMember(m, family string) bool {
	p, err := netip.ParsePrefix(m)
	if a, bare := netip.ParseAddr(m); bare == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	return err == nil && p.Bits() > 0 && p == p.Masked() && p.Addr().Zone() == "" && !p.Addr().Is4In6() && p.Addr().Is4() == (family == "inet")
}

// switches checks flows by the hand's own reading of them, and what OVSDB gets.
func (j *judge) switches(s *host.State, request string, wrong func(string, ...any)) {
	matches := map[host.FlowKey]host.FlowKey{}
	for k, f := range s.Flows {
		canonical, known := j.canonical[k]
		var err error
		if !known || j.flows[flowLine(k, f)] == "" {
			canonical, _, err = openflow.Canonical(k, f)
			j.canonical[k] = canonical
		}
		if err != nil {
			wrong("flow %+v %s: %v", k, f.Actions, err)
			continue
		}
		if other, taken := matches[canonical]; taken {
			wrong("two flows have one match: %+v and %+v", k, other)
		}
		matches[canonical] = k
		line := flowLine(k, f)
		if strings.ContainsAny(line, "\n\"'") {
			wrong("flow %q", line)
		}
		first(j.flows, line, request)
	}
	for name, p := range s.OVSPorts {
		if !deviceName.MatchString(name) {
			wrong("port %q of a bridge", name)
		}
		for _, list := range []string{p.Options, p.OtherConfig, p.ExternalIDs} {
			if !isPairs(list) {
				wrong("port %s: %q", name, list)
			}
		}
	}
	for id, v := range s.VIFs {
		if !neutrino.IsUUID(id) || !isPairs(v.OtherConfig) {
			wrong("instance's port %q: %q", id, v.OtherConfig)
		}
	}
}

func flowLine(k host.FlowKey, f host.Flow) string {
	return fmt.Sprintf("table=%d,priority=%d,%s,actions=%s", k.Table, k.Priority, k.Match, f.Actions)
}

var pair = regexp.MustCompile(`^[-a-z0-9_]+=[-A-Za-z0-9._:]*$`)

func isPairs(list string) bool {
	return list == "" || !slices.ContainsFunc(strings.Split(list, ","), func(p string) bool { return !pair.MatchString(p) })
}

func (j *judge) devices(s *host.State, wrong func(string, ...any)) {
	for k, l := range s.Links {
		if !deviceName.MatchString(k.Name) || l.Peer != "" && !deviceName.MatchString(l.Peer) || l.MTU < 0 || l.MTU > 65535 {
			wrong("device %+v %+v", k, l)
		}
		if m, err := neutrino.ParseMAC(l.PeerMAC); l.PeerMAC != "" && (err != nil || m.IsZero() || m[0]&1 != 0) {
			wrong("device %+v has the address %q", k, l.PeerMAC)
		}
	}
	for k := range s.Addresses {
		if p, err := netip.ParsePrefix(k.Prefix); err != nil || p.Addr().Zone() != "" || p.Addr().Is4In6() || p.Addr().IsMulticast() || p.Addr().IsUnspecified() {
			wrong("address %+v", k)
		}
	}
	for k, r := range s.Routes {
		p, err := netip.ParsePrefix(k.Dst)
		if k.Dst != "default" && (err != nil || p != p.Masked() || p.Bits() == 0 || p.Addr().Is4() == k.IPv6 || p.Addr().Is4In6()) {
			wrong("route %+v", k)
		}
		for _, via := range strings.Split(r.Via, ",") {
			if a, err := netip.ParseAddr(via); via != "" && (err != nil || a.Is4() == k.IPv6 || a.IsMulticast() || a.IsUnspecified()) {
				wrong("route %+v by %q", k, r.Via)
			}
		}
	}
	for k, a := range s.Adverts {
		if a.MTU < 0 || strings.Contains(a.DNS, "\n") {
			wrong("advertisement %+v %+v", k, a)
		}
	}
	for ns := range s.Namespaces {
		if !regexp.MustCompile(`^q(dhcp|router)-[-0-9a-f]{36}$`).MatchString(ns) {
			wrong("namespace %q", ns)
		}
	}
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func first[K comparable](m map[K]string, k K, request string) {
	if _, known := m[k]; !known {
		m[k] = request
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
