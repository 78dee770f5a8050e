package link

import (
	"encoding/binary"
	"net/netip"
)

const (
	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86dd
	arpRequest    = 1
	arpReply      = 2
	icmpv6        = 58
	// Neighbour advertisement, RFC 4861, 4.4.
	typeAdvertisement  = 136
	flagRouter         = 0x80
	flagOverride       = 0x20
	optionTargetLinkIs = 2
)

// frames are what announces an address: for IPv4 both forms of gratuitous ARP,
// since there are neighbours that heed only one of them.
func (d *device) frames(address netip.Addr, router bool) [][]byte {
	if address.Is4() {
		return [][]byte{d.gratuitous(arpRequest, address), d.gratuitous(arpReply, address)}
	}
	return [][]byte{d.advertisement(address, router)}
}

// gratuitous is an ARP packet in which the sender asks for, or answers, itself
// (RFC 826; the target's MAC counts in a reply only).
func (d *device) gratuitous(operation uint16, address netip.Addr) []byte {
	ip := address.As4()
	b := d.ethernet([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, etherTypeARP)
	b = append(b, 0, 1, 8, 0, 6, 4) // Ethernet, IPv4, their lengths
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, d.mac...), ip[:]...)
	if operation == arpReply {
		b = append(b, d.mac...)
	} else {
		b = append(b, 0, 0, 0, 0, 0, 0)
	}
	return append(b, ip[:]...)
}

// advertisement is an unsolicited neighbour advertisement to all nodes.
func (d *device) advertisement(address netip.Addr, router bool) []byte {
	src, dst := address.As16(), netip.IPv6LinkLocalAllNodes().As16()
	flags := byte(flagOverride)
	if router {
		flags |= flagRouter
	}
	body := append([]byte{typeAdvertisement, 0, 0, 0, flags, 0, 0, 0}, src[:]...)
	body = append(append(body, optionTargetLinkIs, 1), d.mac...)
	pseudo := append(append([]byte{}, src[:]...), dst[:]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, icmpv6)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))
	b := d.ethernet([6]byte{0x33, 0x33, 0, 0, 0, 1}, etherTypeIPv6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, icmpv6, 255) // a router between would have lowered the hop limit
	b = append(append(b, src[:]...), dst[:]...)
	return append(b, body...)
}

func (d *device) ethernet(to [6]byte, kind uint16) []byte {
	return binary.BigEndian.AppendUint16(append(append([]byte{}, to[:]...), d.mac...), kind)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
