package api

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"neutrino"
)

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string (RFC 8259, section 7).
func appendString(b []byte, s string) []byte {
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

// appendValue writes the value that p points to as JSON.
func appendValue(b []byte, p any, null bool) []byte {
	if s := asString(p); s != nil {
		if *s == "" && null {
			return append(b, "null"...)
		}
		return appendString(b, *s)
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
		return appendTime(b, *v, timeForm)
	case *netip.Addr:
		return appendAddr(b, *v)
	case *netip.Prefix:
		return appendPrefix(b, *v)
	case *neutrino.MAC:
		return appendMAC(b, *v)
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
		return appendList(b, *v, appendString)
	case *[]neutrino.ID:
		return appendList(b, *v, func(b []byte, id neutrino.ID) []byte { return appendString(b, string(id)) })
	case *[]netip.Addr:
		return appendList(b, *v, appendAddr)
	case *[]netip.Prefix:
		return appendList(b, *v, appendPrefix)
	case *[]neutrino.Pool:
		return appendList(b, *v, func(b []byte, o neutrino.Pool) []byte {
			b = appendAddr(append(b, `{"start":`...), o.Start)
			return append(appendAddr(append(b, `,"end":`...), o.End), '}')
		})
	case *[]neutrino.HostRoute:
		return appendList(b, *v, func(b []byte, o neutrino.HostRoute) []byte {
			b = appendPrefix(append(b, `{"destination":`...), o.Destination)
			return append(appendAddr(append(b, `,"nexthop":`...), o.Nexthop), '}')
		})
	case *[]neutrino.FixedIP:
		return appendList(b, *v, func(b []byte, o neutrino.FixedIP) []byte {
			b = appendString(append(b, `{"subnet_id":`...), string(o.SubnetID))
			return append(appendAddr(append(b, `,"ip_address":`...), o.IPAddress), '}')
		})
	case *[]neutrino.AddressPair:
		return appendList(b, *v, appendPair)
	case *[]neutrino.DHCPOption:
		return appendList(b, *v, func(b []byte, o neutrino.DHCPOption) []byte {
			b = appendString(append(b, `{"opt_name":`...), o.Name)
			b = appendString(append(b, `,"opt_value":`...), o.Value)
			b = append(b, `,"ip_version":`...)
			return append(strconv.AppendInt(b, int64(o.IPVersion), 10), '}')
		})
	case *neutrino.VIFDetails:
		return appendVIFDetails(b, *v)
	}
	panic("api: no wire form for this type")
}

// appendList writes a JSON array; a nil list is an empty one.
func appendList[E any](b []byte, list []E, item func([]byte, E) []byte) []byte {
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

func appendTime(b []byte, t time.Time, form string) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	return append(t.UTC().AppendFormat(b, form), '"')
}

func appendAddr(b []byte, a netip.Addr) []byte {
	if !a.IsValid() {
		return append(b, "null"...)
	}
	return append(a.AppendTo(append(b, '"')), '"')
}

func appendPrefix(b []byte, p netip.Prefix) []byte {
	if !p.IsValid() {
		return append(b, "null"...)
	}
	return append(p.AppendTo(append(b, '"')), '"')
}

func appendMAC(b []byte, m neutrino.MAC) []byte {
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

// appendPair writes an allowed address pair; a single host is shown as a plain
// address.
func appendPair(b []byte, o neutrino.AddressPair) []byte {
	b = append(b, `{"ip_address":`...)
	if o.IPAddress.IsSingleIP() {
		b = appendAddr(b, o.IPAddress.Addr())
	} else {
		b = appendPrefix(b, o.IPAddress)
	}
	return append(appendMAC(append(b, `,"mac_address":`...), o.MAC), '}')
}

// appendVIFDetails writes what Nova reads to plug a port; {} while the port is
// not bound.
func appendVIFDetails(b []byte, d neutrino.VIFDetails) []byte {
	if d == (neutrino.VIFDetails{}) {
		return append(b, "{}"...)
	}
	b = strconv.AppendBool(append(b, `{"port_filter":`...), d.PortFilter)
	b = appendString(append(b, `,"connectivity":`...), d.Connectivity)
	b = strconv.AppendBool(append(b, `,"ovs_hybrid_plug":`...), d.OVSHybridPlug)
	b = appendString(append(b, `,"datapath_type":`...), d.DatapathType)
	b = appendString(append(b, `,"bridge_name":`...), d.BridgeName)
	return append(b, '}')
}
