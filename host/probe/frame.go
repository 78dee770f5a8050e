package probe

import (
	"encoding/binary"
	"net"
	"net/netip"
)

const (
	etherTypeARP  = 0x0806
	etherTypeIPv6 = 0x86dd
	arpRequest    = 1
	arpReply      = 2
	icmpv6        = 58
	hopLimit      = 255 // a router between would have lowered it
	// Neighbour discovery, RFC 4861, 4.3, 4.4 and 4.6.1.
	typeSolicitation  = 135
	typeAdvertisement = 136
	optionSourceLink  = 1
	optionTargetLink  = 2
	optionLen         = 8
	etherLen, ipv6Len = 14, 40
	arpLen            = etherLen + 28
	ndLen             = etherLen + ipv6Len + 24
)

// claim is a station that says to have an address.
type claim struct {
	address netip.Addr
	mac     net.HardwareAddr
}

// frame asks who has an address. Without a sender's address it is a probe,
// which nobody learns from (RFC 5227, 2.1.1; RFC 4862, 5.4.2).
func frame(mac net.HardwareAddr, target netip.Addr, from string) []byte {
	sender, err := netip.ParseAddr(from)
	if target.Is4() {
		if err != nil || !sender.Is4() {
			sender = netip.IPv4Unspecified()
		}
		return request(mac, sender, target)
	}
	if err != nil || !sender.Is6() {
		sender = netip.IPv6Unspecified()
	}
	return solicitation(mac, sender, target)
}

// request is an ARP request (RFC 826).
func request(mac net.HardwareAddr, sender, target netip.Addr) []byte {
	b := ethernet([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, etherTypeARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, arpRequest) // Ethernet, IPv4, their lengths
	b = append(append(b, mac...), sender.AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...)
}

// solicitation asks the group of the address (RFC 4291, 2.7.1).
func solicitation(mac net.HardwareAddr, sender, target netip.Addr) []byte {
	src, dst := sender.As16(), target.As16()
	group := [16]byte{0: 0xff, 1: 0x02, 11: 1, 12: 0xff, 13: dst[13], 14: dst[14], 15: dst[15]}
	body := append([]byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}, dst[:]...)
	if !sender.IsUnspecified() {
		body = append(append(body, optionSourceLink, 1), mac...)
	}
	pseudo := append(append([]byte{}, src[:]...), group[:]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, icmpv6)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))
	b := ethernet([6]byte{0x33, 0x33, 0xff, dst[13], dst[14], dst[15]}, mac, etherTypeIPv6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, icmpv6, hopLimit)
	b = append(append(b, src[:]...), group[:]...)
	return append(b, body...)
}

func ethernet(to [6]byte, from net.HardwareAddr, kind uint16) []byte {
	return binary.BigEndian.AppendUint16(append(append([]byte{}, to[:]...), from...), kind)
}

// checksum is the Internet checksum (RFC 1071) of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// parse reads who says to have an address: an ARP reply, an ARP announcement,
// a neighbour advertisement. ok is false for all else.
func parse(b []byte) (c claim, ok bool) {
	if len(b) < arpLen {
		return claim{}, false
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherTypeARP:
		return parseARP(b[etherLen:])
	case etherTypeIPv6:
		return parseND(b)
	}
	return claim{}, false
}

func parseARP(b []byte) (claim, bool) {
	if [6]byte(b[:6]) != [6]byte{0, 1, 8, 0, 6, 4} {
		return claim{}, false
	}
	sender, target := netip.AddrFrom4([4]byte(b[14:18])), netip.AddrFrom4([4]byte(b[24:28]))
	if operation := binary.BigEndian.Uint16(b[6:]); operation != arpReply && (operation != arpRequest || sender != target) {
		return claim{}, false
	}
	return claim{sender, net.HardwareAddr(append([]byte{}, b[8:14]...))}, true
}

func parseND(b []byte) (claim, bool) {
	if len(b) < ndLen || b[20] != icmpv6 || b[21] != hopLimit || b[etherLen+ipv6Len] != typeAdvertisement {
		return claim{}, false
	}
	body := b[etherLen+ipv6Len:]
	c := claim{netip.AddrFrom16([16]byte(body[8:24])), net.HardwareAddr(append([]byte{}, b[6:12]...))}
	for options := body[24:]; len(options) >= optionLen && options[1] > 0; {
		if options[0] == optionTargetLink {
			c.mac = append(net.HardwareAddr{}, options[2:8]...)
		}
		options = options[min(len(options), int(options[1])*optionLen):]
	}
	return c, true
}
