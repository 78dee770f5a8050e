package ra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"neutrino/host"
)

// What the messages of neighbour discovery carry (RFC 4861, 4.1, 4.2, 4.6; RFC
// 8106, 5.1).
const (
	typeSolicitation  = 133
	typeAdvertisement = 134

	optionSource = 1 // source link-layer address
	optionPrefix = 3
	optionMTU    = 5
	optionDNS    = 25

	flagManaged, flagOther        = 0x80, 0x40
	flagOnLink, flagAutonomous    = 0x80, 0x40
	hopLimit                      = 255 // of every message: a router on the way would have lowered it
	hostsHopLimit                 = 64  // what hosts put into their packets
	maxPrefixes                   = 30  // in one message, so that it fits into the smallest MTU, 1280
	maxDNS                        = 10
	validLifetime                 = 86400 * time.Second
	preferredLifetime             = 14400 * time.Second
	routerLifetime                = 300 * time.Second // 3 times the longest interval
	dnsLifetime                   = 300 * time.Second
	solicitationSize, headerBytes = 8, 16
)

// prefix is a prefix information option.
type prefix struct {
	netip.Prefix
	onLink, autonomous bool
}

// content is an advert taken apart.
type content struct {
	prefixes       []prefix
	dns            []netip.Addr
	managed, other bool
	mtu            int
}

// parse takes the text forms of an advert apart.
func parse(a host.Advert) (content, error) {
	c := content{managed: a.Managed, other: a.Other, mtu: a.MTU}
	for line := range strings.Lines(a.Prefixes) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) != 3 || !isBit(f[1]) || !isBit(f[2]) {
			return content{}, fmt.Errorf("prefix line %q is not \"<prefix> <0 or 1> <0 or 1>\"", strings.TrimSpace(line))
		}
		p, err := netip.ParsePrefix(f[0])
		if err != nil || !p.Addr().Is6() || p.Addr().Is4In6() {
			return content{}, fmt.Errorf("%q is no IPv6 prefix", f[0])
		}
		c.prefixes = append(c.prefixes, prefix{p.Masked(), f[1] == "1", f[2] == "1"})
	}
	if a.DNS != "" {
		for s := range strings.SplitSeq(a.DNS, ",") {
			ip, err := netip.ParseAddr(s)
			if err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" {
				return content{}, fmt.Errorf("%q is no IPv6 address", s)
			}
			c.dns = append(c.dns, ip)
		}
	}
	switch {
	case len(c.prefixes) > maxPrefixes:
		return content{}, fmt.Errorf("%d prefixes are more than the %d that one message holds", len(c.prefixes), maxPrefixes)
	case len(c.dns) > maxDNS:
		return content{}, fmt.Errorf("%d DNS servers are more than %d", len(c.dns), maxDNS)
	case c.mtu < 0 || c.mtu > math.MaxUint16:
		return content{}, fmt.Errorf("an MTU of %d bytes", c.mtu)
	}
	return c, nil
}

func isBit(s string) bool { return s == "0" || s == "1" }

// gone is what was said and is not said any more: hosts are told to stop using
// it, or they would for hours.
func (c content) gone(now content) content {
	var g content
	for _, p := range c.prefixes {
		if !slices.ContainsFunc(now.prefixes, func(q prefix) bool { return q.Prefix == p.Prefix }) {
			g.prefixes = append(g.prefixes, p)
		}
	}
	for _, ip := range c.dns {
		if !slices.Contains(now.dns, ip) {
			g.dns = append(g.dns, ip)
		}
	}
	return g
}

// message is a router advertisement (RFC 4861, 4.2); the kernel fills the
// checksum in. Without a lifetime the router says that it is none any more.
func message(c, gone content, mac net.HardwareAddr, lifetime time.Duration) []byte {
	flags := byte(0)
	if c.managed {
		flags |= flagManaged
	}
	if c.other {
		flags |= flagOther
	}
	b := make([]byte, headerBytes, 1280)
	b[0], b[4], b[5] = typeAdvertisement, hostsHopLimit, flags
	binary.BigEndian.PutUint16(b[6:], uint16(lifetime/time.Second))
	if len(mac) == 6 {
		b = append(append(b, optionSource, 1), mac...)
	}
	if c.mtu > 0 {
		b = append(b, optionMTU, 1, 0, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(c.mtu))
	}
	for _, p := range c.prefixes {
		b = p.option(b, validLifetime, preferredLifetime)
	}
	for _, p := range gone.prefixes {
		if len(b) < headerBytes+16+32*maxPrefixes {
			b = p.option(b, 0, 0)
		}
	}
	b = dnsOption(b, c.dns, dnsLifetime)
	if len(b)+8+16*len(gone.dns) <= 1280-40 {
		b = dnsOption(b, gone.dns, 0)
	}
	return b
}

// option appends the prefix information option (RFC 4861, 4.6.2).
func (p prefix) option(b []byte, valid, preferred time.Duration) []byte {
	flags := byte(0)
	if p.onLink {
		flags |= flagOnLink
	}
	if p.autonomous {
		flags |= flagAutonomous
	}
	b = append(b, optionPrefix, 4, byte(p.Bits()), flags)
	b = binary.BigEndian.AppendUint32(b, uint32(valid/time.Second))
	b = binary.BigEndian.AppendUint32(b, uint32(preferred/time.Second))
	b = append(b, 0, 0, 0, 0)
	ip := p.Addr().As16()
	return append(b, ip[:]...)
}

// dnsOption appends the recursive DNS server option (RFC 8106, 5.1).
func dnsOption(b []byte, servers []netip.Addr, lifetime time.Duration) []byte {
	if len(servers) == 0 {
		return b
	}
	b = append(b, optionDNS, byte(1+2*len(servers)), 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(lifetime/time.Second))
	for _, ip := range servers {
		a := ip.As16()
		b = append(b, a[:]...)
	}
	return b
}

var (
	errShort   = errors.New("message is too short")
	errType    = errors.New("not a router solicitation")
	errCode    = errors.New("unknown code")
	errOption  = errors.New("option without a length or longer than the message")
	errAddress = errors.New("a sender without an address names its link-layer address")
)

// checkSolicitation is RFC 4861, 6.1.1: what a message must be to be believed.
// Hop limit and checksum are known to be right. Anybody can send these bytes.
func checkSolicitation(b []byte, from netip.Addr) error {
	switch {
	case len(b) < solicitationSize:
		return errShort
	case b[0] != typeSolicitation:
		return errType
	case b[1] != 0:
		return errCode
	}
	for rest := b[solicitationSize:]; len(rest) > 0; {
		if len(rest) < 2 || rest[1] == 0 || int(rest[1])*8 > len(rest) {
			return errOption
		}
		if rest[0] == optionSource && from.IsUnspecified() {
			return errAddress
		}
		rest = rest[int(rest[1])*8:]
	}
	return nil
}
