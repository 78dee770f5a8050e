package wire

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"neutrino"
)

// Decode parses a JSON value into what p points to, by the rules of the
// attribute.
func Decode(a *Attribute, p, raw any) error {
	if s := AsString(p); s != nil {
		return DecodeText(a, s, raw)
	}
	switch v := p.(type) {
	case *bool:
		return DecodeBool(v, raw)
	case *int:
		n, err := decodeInt(a, raw)
		*v = int(n)
		return err
	case *int64:
		n, err := decodeInt(a, raw)
		*v = n
		return err
	case **int:
		return decodeOptionalInt(a, v, raw)
	case *neutrino.MAC:
		return decodeMAC(a, v, raw)
	case *netip.Addr:
		return decodeAddr(a, v, raw)
	case *netip.Prefix:
		return decodePrefix(a, v, raw)
	case *neutrino.Opaque:
		return decodeOpaque(a, v, raw)
	}
	return decodeComposite(a, p, raw)
}

// DecodeText parses a text by the attribute's rules.
func DecodeText(a *Attribute, s *string, raw any) error {
	if raw == nil && a.Null {
		*s = ""
		return nil
	}
	v, ok := raw.(string)
	switch {
	case !ok && len(a.Enum) > 0:
		return BadValue(a.Name, "'%s' is not in %s", Show(raw), a.words())
	case !ok && a.UUID:
		return BadValue(a.Name, "'%s' is not a valid UUID", Show(raw))
	case !ok:
		return BadValue(a.Name, "'%s' is not a valid string", Show(raw))
	case a.Longest > 0 && utf8.RuneCountInString(v) > a.Longest:
		return BadValue(a.Name, "'%s' exceeds maximum length of %d", Show(v), a.Longest)
	case a.UUID && !neutrino.IsUUID(v):
		return BadValue(a.Name, "'%s' is not a valid UUID", Show(v))
	case len(a.Enum) > 0 && !slices.Contains(a.Enum, v):
		return BadValue(a.Name, "'%s' is not in %s", Show(v), a.words())
	}
	*s = v
	return nil
}

// DecodeBool accepts what Neutron's converter does: booleans, their names in
// any case, and 1 and 0 as numbers or text.
func DecodeBool(p *bool, raw any) error {
	switch v := raw.(type) {
	case bool:
		*p = v
		return nil
	case json.Number, string:
		switch strings.ToLower(Spell(v)) {
		case "true", "t", "yes", "y", "on", "1":
			*p = true
			return nil
		case "false", "f", "no", "n", "off", "0":
			*p = false
			return nil
		}
	}
	return neutrino.Invalidf("'%s' cannot be converted to boolean", Show(raw))
}

func decodeInt(a *Attribute, raw any) (int64, error) {
	if raw == nil && a.Null {
		return 0, nil
	}
	n, ok := Integer(raw)
	if !ok || !a.fits(n) {
		return 0, neutrino.Invalidf("'%s' is not an integer", Show(raw))
	}
	if a.Bounded && n < a.least {
		if a.least == 0 {
			return 0, BadValue(a.Name, "'%d' should be non-negative", n)
		}
		return 0, BadValue(a.Name, "'%d' is too small - must be at least '%d'", n, a.least)
	}
	if len(a.Enum) > 0 && !slices.Contains(a.Enum, strconv.FormatInt(n, 10)) {
		return 0, BadValue(a.Name, "'%d' is not in %s", n, a.words())
	}
	return n, nil
}

// Integer reads a JSON number or a numeric string.
func Integer(raw any) (int64, bool) {
	var digits string
	switch v := raw.(type) {
	case json.Number:
		digits = v.String()
	case string:
		digits = strings.TrimSpace(v)
	default:
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

func decodeOptionalInt(a *Attribute, p **int, raw any) error {
	if raw == nil {
		*p = nil
		return nil
	}
	n, err := decodeInt(a, raw)
	if err != nil {
		return err
	}
	small := int(n)
	*p = &small
	return nil
}

// decodeMAC takes null as "make one" (api.md section 2.5).
func decodeMAC(a *Attribute, p *neutrino.MAC, raw any) error {
	if raw == nil {
		*p = neutrino.MAC{}
		return nil
	}
	s, ok := raw.(string)
	m, err := neutrino.ParseMAC(s)
	if !ok || err != nil || !usableMAC(m) {
		return BadValue(a.Name, "'%s' is not a valid MAC address", Show(raw))
	}
	*p = m
	return nil
}

// usableMAC reports whether an interface can have the address: neither all
// zeros nor all ones.
func usableMAC(m neutrino.MAC) bool {
	return !m.IsZero() && m != neutrino.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
}

func decodeAddr(a *Attribute, p *netip.Addr, raw any) error {
	if raw == nil && a.Null {
		*p = netip.Addr{}
		return nil
	}
	addr, ok := address(raw)
	if !ok {
		return BadValue(a.Name, "'%s' is not a valid IP address", Show(raw))
	}
	*p = addr
	return nil
}

// address reads an IP address without zone; an IPv4 address in IPv6 clothes is
// not one, for no packet carries it.
func address(raw any) (netip.Addr, bool) {
	s, ok := raw.(string)
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == "" && !a.Is4In6()
}

// decodePrefix masks the host bits, as Neutron does with a subnet's cidr.
func decodePrefix(a *Attribute, p *netip.Prefix, raw any) error {
	if raw == nil && a.Null {
		*p = netip.Prefix{}
		return nil
	}
	prefix, ok := subnetPrefix(raw)
	if !ok {
		return BadValue(a.Name, "'%s' is not a valid IP subnet", Show(raw))
	}
	*p = prefix.Masked()
	return nil
}

// subnetPrefix reads address/length.
func subnetPrefix(raw any) (netip.Prefix, bool) {
	s, ok := raw.(string)
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil && !p.Addr().Is4In6()
}

// decodeOpaque keeps a JSON object as it came; null and {} are unset.
func decodeOpaque(a *Attribute, p *neutrino.Opaque, raw any) error {
	*p = ""
	if raw == nil {
		return nil
	}
	o, ok := raw.(Object)
	if !ok {
		return BadValue(a.Name, "'%s' is not a dictionary", Show(raw))
	}
	if len(o) == 0 {
		return nil
	}
	b, err := json.Marshal(o)
	if err != nil {
		return BadValue(a.Name, "'%s' is not a dictionary", Show(raw))
	}
	*p = neutrino.Opaque(b)
	return nil
}
