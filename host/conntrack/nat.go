package conntrack

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"neutrino/host"
)

// nat is a parsed host.Translation.
type nat struct {
	destinations map[netip.Addr][]destination
	sources      map[netip.Addr]netip.Addr // single addresses
	nets         []sourceNet               // the others, in the order of the text
}

// destination is a line of host.Translation.DNAT.
type destination struct {
	protocol uint8 // 0 for any
	ports    span  // of the protocol
	to       netip.Addr
	toPorts  span // zero where the port stays
}

// span is the ports from first to last.
type span struct{ first, last uint16 }

func (s span) has(port uint16) bool { return s.first <= port && port <= s.last }

// parseSpan reads "80" and "8000-8010".
func parseSpan(text string) (span, error) {
	from, to, two := strings.Cut(text, "-")
	if !two {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return span{}, fmt.Errorf("port %q", text)
	}
	last, err := strconv.ParseUint(to, 10, 16)
	if err != nil || first > last {
		return span{}, fmt.Errorf("port %q", text)
	}
	return span{uint16(first), uint16(last)}, nil
}

type sourceNet struct {
	from netip.Prefix
	to   netip.Addr
}

// metadata are the addresses that a redirect into the namespace itself is for:
// where it leads depends on the device, and no line names it.
var metadata = [...]netip.Addr{netip.AddrFrom4([4]byte{169, 254, 169, 254}),
	netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 12: 0xa9, 13: 0xfe, 14: 0xa9, 15: 0xfe})}

func parseNAT(t host.Translation) (*nat, error) {
	n := &nat{destinations: map[netip.Addr][]destination{}, sources: map[netip.Addr]netip.Addr{}}
	for _, l := range lines(t.DNAT) {
		match, to, ok := strings.Cut(l, " ")
		if !ok {
			return nil, fmt.Errorf("DNAT line %q: no target", l)
		}
		at, d, err := parseDestination(match, to)
		if err != nil {
			return nil, fmt.Errorf("DNAT line %q: %w", l, err)
		}
		n.destinations[at] = append(n.destinations[at], d)
	}
	for _, l := range lines(t.SNAT) {
		match, to, _ := strings.Cut(l, " ")
		from, err := parsePrefix(match)
		if err != nil {
			return nil, fmt.Errorf("SNAT line %q: %w", l, err)
		}
		address, err := netip.ParseAddr(to)
		if err != nil {
			return nil, fmt.Errorf("SNAT line %q: %w", l, err)
		}
		if !from.IsSingleIP() {
			n.nets = append(n.nets, sourceNet{from, address})
		} else if _, twice := n.sources[from.Addr()]; !twice {
			n.sources[from.Addr()] = address
		}
	}
	return n, nil
}

// parseDestination reads "<address>[:<protocol>:<ports>]" and "<address>[:<ports>]".
// An IPv6 address with ports stands in brackets.
func parseDestination(match, to string) (netip.Addr, destination, error) {
	var d destination
	at, err := netip.ParseAddr(match)
	if err != nil {
		rest, port, _ := cutLast(match)
		address, protocol, ok := cutLast(rest)
		if at, err = netip.ParseAddr(strings.Trim(address, "[]")); err != nil || !ok {
			return at, d, fmt.Errorf("%q is no destination", match)
		}
		p, err := strconv.ParseUint(protocol, 10, 8)
		if err != nil {
			return at, d, fmt.Errorf("protocol %q", protocol)
		}
		if d.ports, err = parseSpan(port); err != nil {
			return at, d, err
		}
		d.protocol = uint8(p)
	}
	if d.to, err = netip.ParseAddr(to); err == nil {
		return at, d, nil
	}
	address, ports, _ := cutLast(to)
	if d.to, err = netip.ParseAddr(strings.Trim(address, "[]")); err != nil {
		return at, d, fmt.Errorf("%q is no target", to)
	}
	if d.toPorts, err = parseSpan(ports); err != nil {
		return at, d, err
	}
	if d.toPorts.first != d.toPorts.last && d.toPorts.last-d.toPorts.first != d.ports.last-d.ports.first {
		return at, d, fmt.Errorf("%q and %q have not as many ports", match, to)
	}
	return at, d, nil
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// disagrees reports whether the present rules would not have made an entry. One
// whose source was not rewritten stays in any case: whether a rule would have
// done it depends on where it leaves.
func (n *nat) disagrees(e entry) bool {
	if !e.reply.src.IsValid() {
		return false
	}
	return n.wrongDestination(e.tuple, e.reply) || n.wrongSource(e.tuple, e.reply)
}

// wrongDestination compares where a connection went with where it would go
// now: elsewhere, to nobody any more, or no longer to the namespace itself.
func (n *nat) wrongDestination(orig, reply tuple) bool {
	for _, m := range metadata {
		if orig.dst == m {
			return false
		}
	}
	rewritten := orig.dst != reply.src || orig.dport != reply.sport
	var any *destination
	for i, d := range n.destinations[orig.dst] {
		if d.protocol == 0 {
			any = &n.destinations[orig.dst][i]
		} else if d.protocol == orig.protocol && d.ports.has(orig.dport) {
			return !d.leads(orig, reply)
		}
	}
	if any == nil {
		return rewritten
	}
	return !any.leads(orig, reply)
}

func (d destination) leads(orig, reply tuple) bool {
	port := orig.dport
	if d.toPorts != (span{}) {
		port = d.toPorts.first
		if d.toPorts.last > d.toPorts.first {
			port += orig.dport - d.ports.first
		}
	}
	return reply.src == d.to && reply.sport == port
}

// wrongSource compares the address that a connection shows outside.
func (n *nat) wrongSource(orig, reply tuple) bool {
	if orig.src == reply.dst {
		return false
	}
	to, ok := n.sources[orig.src]
	for i := 0; i < len(n.nets) && !ok; i++ {
		if n.nets[i].from.Contains(orig.src) {
			to, ok = n.nets[i].to, true
		}
	}
	return to != reply.dst
}
