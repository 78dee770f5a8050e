package conntrack

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"neutrino/host"
)

// policy is a parsed host.Zone. The zero policy admits nothing at all.
type policy struct {
	own   []netip.Prefix
	rules []rule
	live  bool
}

// rule is one line of host.Zone.Allow. Ports hold type and code for ICMP.
type rule struct {
	ingress  bool
	six      bool
	protocol int // -1 for any
	low      int // -1 for any
	high     int // -1 for any code, with an ICMP type
	remote   netip.Prefix
	set      *memberSet // in place of remote
}

func (p policy) empty() bool { return !p.live }

// parsePolicy reads a zone. A zone with a line that cannot be read is not
// enforced at all: better a connection too many than all of a port's cut.
func parsePolicy(z host.Zone, sets memberSets) (policy, error) {
	p := policy{live: true}
	for a := range strings.SplitSeq(z.Addresses, ",") {
		if a == "" {
			continue
		}
		pre, err := parsePrefix(a)
		if err != nil {
			return policy{}, fmt.Errorf("address %q: %w", a, err)
		}
		p.own = append(p.own, pre)
	}
	for _, l := range lines(z.Allow) {
		r, err := parseRule(l, sets)
		if err != nil {
			return policy{}, fmt.Errorf("line %q: %w", l, err)
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func parseRule(line string, sets memberSets) (rule, error) {
	f := strings.Fields(line)
	if len(f) != 5 {
		return rule{}, fmt.Errorf("%d words, not 5", len(f))
	}
	r := rule{ingress: f[0] == "ingress", six: f[1] == "6", protocol: -1, low: -1}
	if !r.ingress && f[0] != "egress" {
		return r, fmt.Errorf("direction %q", f[0])
	}
	if !r.six && f[1] != "4" {
		return r, fmt.Errorf("family %q", f[1])
	}
	if f[2] != "any" {
		n, err := strconv.ParseUint(f[2], 10, 8)
		if err != nil {
			return r, fmt.Errorf("protocol %q", f[2])
		}
		r.protocol = int(n)
	}
	if err := r.parsePorts(f[3]); err != nil {
		return r, err
	}
	if f[4] == "any" {
		return r, nil
	}
	if name, isSet := strings.CutPrefix(f[4], "@"); isSet {
		set, err := sets.get(name)
		r.set = set
		return r, err
	}
	remote, err := parsePrefix(f[4])
	if err != nil {
		return r, fmt.Errorf("remote %q", f[4])
	}
	if remote.Addr().Is4() == r.six {
		return r, fmt.Errorf("remote %q is of the other family", f[4])
	}
	r.remote = remote
	return r, nil
}

func (r *rule) parsePorts(s string) error {
	if s == "any" {
		return nil
	}
	low, high, ok := strings.Cut(s, "-")
	n, err := strconv.ParseUint(low, 10, 16)
	if err != nil || !ok {
		return fmt.Errorf("ports %q", s)
	}
	r.low, r.high = int(n), -1
	if high == "any" && isICMP(r.protocol) {
		return nil
	}
	m, err := strconv.ParseUint(high, 10, 16)
	if err != nil {
		return fmt.Errorf("ports %q", s)
	}
	r.high = int(m)
	return nil
}

func isICMP(protocol int) bool {
	return protocol == unix.IPPROTO_ICMP || protocol == unix.IPPROTO_ICMPV6
}

// hasPorts names the protocols whose ports conntrack keeps: TCP, UDP, DCCP,
// SCTP, UDP-Lite. A range given for another one means nothing, as in the rules.
func hasPorts(protocol int) bool { return slices.Contains([]int{6, 17, 33, 132, 136}, protocol) }

// admits decides by the entry's original direction: who began it.
func (p policy) admits(t tuple) bool {
	if p.empty() {
		return false
	}
	if always(t) {
		return true
	}
	var remote netip.Addr
	ingress := false
	switch {
	case p.owns(t.src):
		remote = t.dst
	case p.owns(t.dst):
		remote, ingress = t.src, true
	default:
		return false
	}
	return slices.ContainsFunc(p.rules, func(r rule) bool { return r.ingress == ingress && r.admits(t, remote) })
}

func (p policy) owns(a netip.Addr) bool {
	return slices.ContainsFunc(p.own, func(o netip.Prefix) bool { return o.Contains(a) })
}

func (r rule) admits(t tuple, remote netip.Addr) bool {
	if r.six != t.src.Is6() || (r.protocol >= 0 && r.protocol != int(t.protocol)) {
		return false
	}
	if r.remote.IsValid() && !r.remote.Contains(remote) || r.set != nil && !r.set.contains(remote) {
		return false
	}
	switch {
	case r.low < 0:
		return true
	case isICMP(r.protocol):
		return int(t.kind) == r.low && (r.high < 0 || int(t.code) == r.high)
	case hasPorts(int(t.protocol)):
		return int(t.dport) >= r.low && int(t.dport) <= r.high
	}
	return true
}

// always are the entries that the fixed rules of every port admit: DHCP, and
// neighbour and multicast listener discovery. What of it must not be, the fixed
// rules drop before the table is asked.
func always(t tuple) bool {
	switch t.protocol {
	case unix.IPPROTO_UDP:
		pair := [2]uint16{min(t.sport, t.dport), max(t.sport, t.dport)}
		return pair == [2]uint16{67, 68} || pair == [2]uint16{546, 547}
	case unix.IPPROTO_ICMPV6:
		return t.src.Is6() && (t.kind >= 130 && t.kind <= 136 || t.kind == 143)
	}
	return false
}
