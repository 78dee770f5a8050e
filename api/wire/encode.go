package wire

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"neutrino"
)

const hexDigits = "0123456789abcdef"

// AppendString writes a JSON string (RFC 8259, section 7).
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			if c == '"' || c == '\\' {
				b = append(b, '\\', c)
			} else {
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b = append(append(b, s[start:i]...), "\ufffd"...)
			start = i + 1
		}
		i += n
	}
	return append(append(b, s[start:]...), '"')
}

// AppendValue writes the value that p points to as JSON.
func AppendValue(b []byte, p any) []byte { return appendValue(b, p, false) }

// AppendNullable is AppendValue, with null for a value that is not set.
func AppendNullable(b []byte, p any) []byte { return appendValue(b, p, true) }

// Append writes the attribute of row, which is a pointer to the noun.
func (a *Attribute) Append(b []byte, row any) []byte { return appendValue(b, a.Of(row), a.Null) }

func appendValue(b []byte, p any, null bool) []byte {
	if s := AsString(p); s != nil {
		if *s == "" && null {
			return append(b, "null"...)
		}
		return AppendString(b, *s)
	}
	switch v := p.(type) {
	case *bool:
		return strconv.AppendBool(b, *v)
	case *int:
		return appendInt(b, int64(*v), null)
	case *int64:
		return appendInt(b, *v, null)
	case **int:
		if *v == nil {
			return append(b, "null"...)
		}
		return strconv.AppendInt(b, int64(**v), 10)
	case **bool:
		if *v == nil {
			return append(b, "null"...)
		}
		return strconv.AppendBool(b, **v)
	case *time.Time:
		return AppendTime(b, *v, timeForm)
	case *netip.Addr:
		return AppendAddr(b, *v)
	case *netip.Prefix:
		return AppendPrefix(b, *v)
	case *neutrino.MAC:
		return AppendMAC(b, *v)
	case *neutrino.Opaque:
		if *v == "" {
			return append(b, "{}"...)
		}
		return append(b, *v...)
	}
	return appendComposite(b, p)
}

// appendComposite writes the lists and objects of the nouns.
func appendComposite(b []byte, p any) []byte {
	switch v := p.(type) {
	case *[]string:
		return AppendList(b, *v, AppendString)
	case *[]neutrino.ID:
		return AppendList(b, *v, func(b []byte, id neutrino.ID) []byte { return AppendString(b, string(id)) })
	case *[]netip.Addr:
		return AppendList(b, *v, AppendAddr)
	case *[]netip.Prefix:
		return AppendList(b, *v, AppendPrefix)
	case *[]neutrino.Pool:
		return AppendList(b, *v, func(b []byte, o neutrino.Pool) []byte {
			b = AppendAddr(append(b, `{"start":`...), o.Start)
			return append(AppendAddr(append(b, `,"end":`...), o.End), '}')
		})
	case *[]neutrino.HostRoute:
		return AppendList(b, *v, func(b []byte, o neutrino.HostRoute) []byte {
			b = AppendPrefix(append(b, `{"destination":`...), o.Destination)
			return append(AppendAddr(append(b, `,"nexthop":`...), o.Nexthop), '}')
		})
	case *[]neutrino.FixedIP:
		return AppendList(b, *v, func(b []byte, o neutrino.FixedIP) []byte {
			b = AppendString(append(b, `{"subnet_id":`...), string(o.SubnetID))
			return append(AppendAddr(append(b, `,"ip_address":`...), o.IPAddress), '}')
		})
	case *[]neutrino.AddressPair:
		return AppendList(b, *v, AppendPair)
	case *[]neutrino.DHCPOption:
		return AppendList(b, *v, func(b []byte, o neutrino.DHCPOption) []byte {
			b = AppendString(append(b, `{"opt_name":`...), o.Name)
			b = AppendString(append(b, `,"opt_value":`...), o.Value)
			b = append(b, `,"ip_version":`...)
			return append(strconv.AppendInt(b, int64(o.IPVersion), 10), '}')
		})
	case *neutrino.VIFDetails:
		return appendVIFDetails(b, *v)
	}
	panic("wire: no wire form for this type")
}

// AppendList writes a JSON array; a nil list is an empty one.
func AppendList[E any](b []byte, list []E, item func([]byte, E) []byte) []byte {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(b, e)
	}
	return append(b, ']')
}

func appendInt(b []byte, n int64, null bool) []byte {
	if n == 0 && null {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, n, 10)
}

// AppendTime writes a time in UTC, in the form.
func AppendTime(b []byte, t time.Time, form string) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	if form == timeForm {
		return append(appendTime(b, t.UTC()), '"')
	}
	return append(t.UTC().AppendFormat(b, form), '"')
}

// appendTime writes a time in timeForm. Half of a port's time was that of reading
// the form again.
func appendTime(b []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, timeForm)
	}
	two := func(b []byte, n int, end byte) []byte { return append(b, byte('0'+n/10), byte('0'+n%10), end) }
	b = append(b, byte('0'+year/1000), byte('0'+year/100%10))
	b = two(b, year%100, '-')
	b = two(two(b, int(month), '-'), day, 'T')
	return two(two(two(b, hour, ':'), minute, ':'), second, 'Z')
}

// AppendAddr writes an address, null for none.
func AppendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "null"...)
	}
	return append(a.AppendTo(append(b, '"')), '"')
}

// AppendPrefix writes a prefix, null for none.
func AppendPrefix(b []byte, p netip.Prefix) []byte {
	if !p.IsValid() {
		return append(b, "null"...)
	}
	return append(p.AppendTo(append(b, '"')), '"')
}

// AppendMAC writes a MAC address.
func AppendMAC(b []byte, m neutrino.MAC) []byte {
	if m.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	for i, o := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hexDigits[o>>4], hexDigits[o&15])
	}
	return append(b, '"')
}

// AppendPair writes an allowed address pair; a single host is shown as a plain
// address.
func AppendPair(b []byte, o neutrino.AddressPair) []byte {
	b = append(b, `{"ip_address":`...)
	if o.IPAddress.IsSingleIP() {
		b = AppendAddr(b, o.IPAddress.Addr())
	} else {
		b = AppendPrefix(b, o.IPAddress)
	}
	return append(AppendMAC(append(b, `,"mac_address":`...), o.MAC), '}')
}

// appendVIFDetails writes what Nova reads to plug a port; {} while the port is
// not bound.
func appendVIFDetails(b []byte, d neutrino.VIFDetails) []byte {
	if d == (neutrino.VIFDetails{}) {
		return append(b, "{}"...)
	}
	b = strconv.AppendBool(append(b, `{"port_filter":`...), d.PortFilter)
	b = AppendString(append(b, `,"connectivity":`...), d.Connectivity)
	b = strconv.AppendBool(append(b, `,"ovs_hybrid_plug":`...), d.OVSHybridPlug)
	b = AppendString(append(b, `,"datapath_type":`...), d.DatapathType)
	b = AppendString(append(b, `,"bridge_name":`...), d.BridgeName)
	return append(b, '}')
}
