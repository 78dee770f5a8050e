package neutrino

import (
	"fmt"
	"net/netip"
)

// MAC is an Ethernet hardware address (IEEE 802). It is comparable and is
// written in lower case with colons, as Neutron answers it.
type MAC [6]byte

// ParseMAC reads six hexadecimal octets separated by colons or dashes.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) != 17 {
		return m, fmt.Errorf("'%s' is not a valid MAC address", s)
	}
	for i := range m {
		hi, ok1 := nibble(s[i*3])
		lo, ok2 := nibble(s[i*3+1])
		if !ok1 || !ok2 || i < 5 && s[i*3+2] != ':' && s[i*3+2] != '-' {
			return MAC{}, fmt.Errorf("'%s' is not a valid MAC address", s)
		}
		m[i] = hi<<4 | lo
	}
	return m, nil
}

func nibble(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// String is the address in lower case with colons.
func (m MAC) String() string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, o := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[o>>4], hex[o&15])
	}
	return string(b)
}

// IsZero reports whether the address is unset (all zero).
func (m MAC) IsZero() bool { return m == MAC{} }

// MarshalText writes the address as [MAC.String]; an unset one as "".
func (m MAC) MarshalText() ([]byte, error) {
	if m.IsZero() {
		return nil, nil
	}
	return []byte(m.String()), nil
}

// UnmarshalText reads what [MAC.MarshalText] writes.
func (m *MAC) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*m = MAC{}
		return nil
	}
	v, err := ParseMAC(string(b))
	if err == nil {
		*m = v
	}
	return err
}

// EUI64 is the address that stateless autoconfiguration derives from the MAC
// in the given /64 prefix: the modified EUI-64 interface identifier of
// RFC 4291, appendix A. With fe80::/64 it is the link-local address.
func (m MAC) EUI64(prefix netip.Prefix) netip.Addr {
	a := prefix.Addr().As16()
	a[8], a[9], a[10], a[11] = m[0]^2, m[1], m[2], 0xff
	a[12], a[13], a[14], a[15] = 0xfe, m[3], m[4], m[5]
	return netip.AddrFrom16(a)
}

// LinkLocal is the IPv6 link-local address of the MAC (RFC 4291, 2.5.6).
func (m MAC) LinkLocal() netip.Addr { return m.EUI64(LinkLocalPrefix) }

// LinkLocalPrefix is fe80::/64, the link-local prefix of RFC 4291, 2.5.6.
var LinkLocalPrefix = netip.MustParsePrefix("fe80::/64")
