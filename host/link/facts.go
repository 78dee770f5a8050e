package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"neutrino/host"
)

// dumps is how often an interrupted dump is tried: the kernel says so when
// something changed while it was listing.
const dumps = 10

// facts are what was read in one namespace: plain data, so that two readings
// can be compared.
type facts struct {
	loUp   bool
	links  []linkFact // of ours
	addrs  []host.AddressKey
	routes map[host.RouteKey]host.Route
}

// linkFact is a device of ours: by its alias, or by the name that a pair has
// before it has its alias.
type linkFact struct {
	index, peerIndex int
	name, mac        string
	mtu              int
	up, txChecksum   bool
	mark             mark
}

// mark is what a device's alias says.
type mark struct {
	why    host.Why
	peerOf string // on the other end of a pair: the name of the first
	mac    bool   // on the other end: the MAC is wanted so
	temp   bool   // no alias yet, only a temporary name
}

// text is the alias: "neutrino dhcp port/<id>", and on the other end
// "neutrino dhcp port/<id> peer tap… mac".
func (m mark) text(prefix string) string {
	s := prefix + " " + word(m.why.Feature) + " " + word(m.why.Object)
	if m.peerOf != "" {
		s += " peer " + m.peerOf
	}
	if m.mac {
		s += " mac"
	}
	return s
}

// word keeps an alias of words apart when one of them is empty.
func word(s string) string {
	if s == "" {
		return "-"
	}
	return strings.ReplaceAll(s, " ", "_")
}

func parseMark(prefix, alias string) (mark, bool) {
	f := strings.Fields(alias)
	if len(f) < 3 || f[0] != prefix {
		return mark{}, false
	}
	m := mark{why: host.Why{Feature: f[1], Object: f[2]}}
	if len(f) >= 5 && f[3] == "peer" {
		m.peerOf = f[4]
		m.mac = len(f) == 6 && f[5] == "mac"
	}
	return m, true
}

// scan reads a namespace.
func (h *Hands) scan(p *place) error {
	links, err := dump(func() ([]netlink.Link, error) { return p.nl.LinkList() })
	if err != nil {
		return fmt.Errorf("link: list devices of namespace %q: %w", p.name, err)
	}
	f := facts{routes: map[host.RouteKey]host.Route{}}
	devices := map[int]string{}
	for _, l := range links {
		a := l.Attrs()
		if a.Name == "lo" {
			f.loUp = a.Flags&net.FlagUp != 0
			continue
		}
		m, ours := parseMark(h.options.AliasPrefix, a.Alias)
		if !ours && isTemporary(l) {
			m, ours = mark{temp: true}, true
		}
		if p.name != "" || ours {
			devices[a.Index] = a.Name
		}
		if !ours {
			continue
		}
		// A device that goes while it is looked at is told by its own event.
		tx, _ := txChecksum(p.sock, a.Name)
		f.links = append(f.links, linkFact{index: a.Index, peerIndex: a.ParentIndex, name: a.Name, mac: a.HardwareAddr.String(),
			mtu: a.MTU, up: a.Flags&net.FlagUp != 0, txChecksum: tx, mark: m})
	}
	sort.Slice(f.links, func(i, j int) bool { return f.links[i].name < f.links[j].name })
	if len(devices) > 0 {
		if err := p.scanAddresses(&f, devices); err != nil {
			return err
		}
	}
	if p.name != "" {
		if err := p.scanRoutes(&f, devices); err != nil {
			return err
		}
	}
	p.facts, p.fresh = f, true
	return nil
}

// scanAddresses notes the addresses that are neither the kernel's (link-local
// made from a MAC) nor a router's (autoconfigured).
func (p *place) scanAddresses(f *facts, devices map[int]string) error {
	list, err := dump(func() ([]netlink.Addr, error) { return p.nl.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("link: list addresses of namespace %q: %w", p.name, err)
	}
	for _, a := range list {
		device := devices[a.LinkIndex]
		prefix, ok := toPrefix(a.IPNet)
		if device == "" || !ok || a.Flags&unix.IFA_F_PERMANENT == 0 {
			continue
		}
		if prefix.Addr().Is6() && prefix.Addr().IsLinkLocalUnicast() && !prefix.IsSingleIP() {
			continue
		}
		f.addrs = append(f.addrs, host.AddressKey{NetNS: p.name, Device: device, Prefix: prefix.String()})
	}
	sort.Slice(f.addrs, func(i, j int) bool {
		a, b := f.addrs[i], f.addrs[j]
		return a.Device < b.Device || a.Device == b.Device && a.Prefix < b.Prefix
	})
	return nil
}

func (p *place) scanRoutes(f *facts, devices map[int]string) error {
	filter := &netlink.Route{Protocol: unix.RTPROT_STATIC, Table: unix.RT_TABLE_MAIN}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := dump(func() ([]netlink.Route, error) {
			return p.nl.RouteListFiltered(family, filter, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return fmt.Errorf("link: list routes of namespace %q: %w", p.name, err)
		}
		for _, r := range list {
			k := host.RouteKey{NetNS: p.name, Dst: "default", IPv6: family == netlink.FAMILY_V6}
			if prefix, ok := toPrefix(r.Dst); ok && prefix.Bits() > 0 {
				k.Dst = prefix.String()
			}
			f.routes[k] = gateways(r, devices)
		}
	}
	return nil
}

func toPrefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}

// dump lists until nothing changed meanwhile.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for try := 1; ; try++ {
		out, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || try == dumps {
			return out, err
		}
	}
}
