package wire

import (
	"encoding/json"
	"net/netip"
	"slices"
	"unicode/utf8"

	"neutrino"
)

// decodeComposite parses the lists of the nouns.
func decodeComposite(a *Attribute, p, raw any) (err error) {
	switch v := p.(type) {
	case *[]string:
		*v, err = decodeList(a, raw, "'%s' is not a list", hintItem)
	case *[]neutrino.ID:
		return decodeIDs(a, v, raw)
	case *[]netip.Addr:
		*v, err = decodeList(a, noneIsEmpty(raw), "Invalid data format for nameserver: '%s'", addressItem)
	case *[]netip.Prefix:
		*v, err = decodeList(a, raw, "'%s' is not a list", prefixItem)
	case *[]neutrino.Pool:
		*v, err = decodeList(a, raw, "Invalid data format for IP pool: '%s'", poolItem)
	case *[]neutrino.HostRoute:
		return DecodeHostRoutes(a, v, raw)
	case *[]neutrino.FixedIP:
		return DecodeFixedIPs(a, v, raw)
	case *[]neutrino.AddressPair:
		return decodePairs(a, v, raw)
	case *[]neutrino.DHCPOption:
		*v, err = decodeList(a, noneIsEmpty(raw), "Invalid data format for extra_dhcp_opts: '%s'", dhcpOptionItem)
	default:
		return neutrino.Errorf(neutrino.Internal, TypeInternal, "attribute %s has no parser", a.Name)
	}
	if err == nil {
		if nameservers, ok := p.(*[]netip.Addr); ok {
			return refuseDuplicates(a, *nameservers)
		}
	}
	return err
}

func refuseDuplicates(a *Attribute, list []netip.Addr) error {
	for i, n := range list {
		if slices.Contains(list[:i], n) {
			return BadValue(a.Name, "Duplicate nameserver '%s'", n)
		}
	}
	return nil
}

func noneIsEmpty(raw any) any {
	if raw == nil {
		return []any{}
	}
	return raw
}

// decodeList parses each item of a JSON array; format is the complaint about
// something else than an array.
func decodeList[E any](a *Attribute, raw any, format string, item func(*Attribute, any) (E, error)) ([]E, error) {
	list, ok := raw.([]any)
	if !ok {
		return nil, BadValue(a.Name, format, Show(raw))
	}
	out := make([]E, 0, len(list))
	for _, r := range list {
		e, err := item(a, r)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func hintItem(a *Attribute, raw any) (string, error) {
	s, ok := raw.(string)
	if !ok {
		return "", BadValue(a.Name, "'%s' is not a valid string", Show(raw))
	}
	if utf8.RuneCountInString(s) > 255 {
		return "", BadValue(a.Name, "'%s' exceeds maximum length of 255", Show(s))
	}
	return s, nil
}

func addressItem(a *Attribute, raw any) (netip.Addr, error) {
	ip, ok := address(raw)
	if !ok {
		return ip, BadValue(a.Name, "'%s' is not a valid nameserver", Show(raw))
	}
	return ip, nil
}

// prefixItem masks the host bits, as Neutron does.
func prefixItem(a *Attribute, raw any) (netip.Prefix, error) {
	var p netip.Prefix
	err := decodePrefix(a, &p, raw)
	return p, err
}

// decodeIDs parses a list of UUIDs, none of them twice, as neutron-lib's
// validator of uuid_list has it; null is the empty list.
func decodeIDs(a *Attribute, p *[]neutrino.ID, raw any) error {
	list, ok := noneIsEmpty(raw).([]any)
	if !ok {
		return BadValue(a.Name, "'%s' is not a list", Show(raw))
	}
	ids := make([]neutrino.ID, 0, len(list))
	for _, r := range list {
		s, ok := r.(string)
		if !ok || !neutrino.IsUUID(s) {
			return BadValue(a.Name, "'%s' is not a valid UUID", Show(r))
		}
		if slices.Contains(ids, neutrino.ID(s)) {
			return BadValue(a.Name, "Duplicate items in the list: '%s'", s)
		}
		ids = append(ids, neutrino.ID(s))
	}
	*p = ids
	return nil
}

// StrictKeys checks that an object has exactly the named keys.
func StrictKeys(raw any, keys ...string) (Object, bool) {
	o, ok := raw.(Object)
	if !ok || len(o) != len(keys) {
		return nil, false
	}
	for _, k := range keys {
		if _, ok := o[k]; !ok {
			return nil, false
		}
	}
	return o, true
}

func poolItem(a *Attribute, raw any) (neutrino.Pool, error) {
	o, ok := StrictKeys(raw, "start", "end")
	if !ok {
		return neutrino.Pool{}, BadValue(a.Name, "Invalid data format for IP pool: '%s'", Show(raw))
	}
	var p neutrino.Pool
	if p.Start, ok = address(o["start"]); !ok {
		return p, BadValue(a.Name, "'%s' is not a valid IP address", Show(o["start"]))
	}
	if p.End, ok = address(o["end"]); !ok {
		return p, BadValue(a.Name, "'%s' is not a valid IP address", Show(o["end"]))
	}
	return p, nil
}

// DecodeHostRoutes parses a list of routes, none of them twice.
func DecodeHostRoutes(a *Attribute, p *[]neutrino.HostRoute, raw any) error {
	routes, err := decodeList(a, noneIsEmpty(raw), "Invalid data format for hostroute: '%s'", hostRouteItem)
	if err != nil {
		return err
	}
	for i, r := range routes {
		if slices.Contains(routes[:i], r) {
			return BadValue(a.Name, "Duplicate hostroute '%s via %s'", r.Destination, r.Nexthop)
		}
	}
	*p = routes
	return nil
}

func hostRouteItem(a *Attribute, raw any) (neutrino.HostRoute, error) {
	var r neutrino.HostRoute
	o, ok := StrictKeys(raw, "destination", "nexthop")
	if !ok {
		return r, BadValue(a.Name, "Invalid data format for hostroute: '%s'", Show(raw))
	}
	if r.Destination, ok = subnetPrefix(o["destination"]); !ok {
		return r, BadValue(a.Name, "'%s' is not a valid IP subnet", Show(o["destination"]))
	}
	if r.Nexthop, ok = address(o["nexthop"]); !ok {
		return r, BadValue(a.Name, "'%s' is not a valid IP address", Show(o["nexthop"]))
	}
	r.Destination = r.Destination.Masked()
	return r, nil
}

// DecodeFixedIPs parses a list of addresses, none of them twice.
func DecodeFixedIPs(a *Attribute, p *[]neutrino.FixedIP, raw any) error {
	ips, err := decodeList(a, raw, "Invalid data format for fixed IP: '%s'", fixedIPItem)
	if err != nil {
		return err
	}
	seen := map[netip.Addr]bool{}
	for _, ip := range ips {
		if ip.IPAddress.IsValid() && seen[ip.IPAddress] {
			return BadValue(a.Name, "Duplicate IP address '%s'", ip.IPAddress)
		}
		seen[ip.IPAddress] = true
	}
	*p = ips
	return nil
}

func fixedIPItem(a *Attribute, raw any) (neutrino.FixedIP, error) {
	var f neutrino.FixedIP
	o, ok := raw.(Object)
	if !ok || len(o) == 0 {
		return f, BadValue(a.Name, "Invalid data format for fixed IP: '%s'", Show(raw))
	}
	for key, v := range o {
		switch key {
		case "ip_address":
			if f.IPAddress, ok = address(v); !ok {
				return f, BadValue(a.Name, "'%s' is not a valid IP address", Show(v))
			}
		case "subnet_id":
			s, ok := v.(string)
			if !ok || !neutrino.IsUUID(s) {
				return f, BadValue(a.Name, "'%s' is not a valid UUID", Show(v))
			}
			f.SubnetID = neutrino.ID(s)
		default:
			return f, BadValue(a.Name, "Unexpected keys supplied: %s", Show(key))
		}
	}
	return f, nil
}

func decodePairs(a *Attribute, p *[]neutrino.AddressPair, raw any) error {
	pairs, err := decodeList(a, noneIsEmpty(raw), "Allowed address pairs must be a list, not '%s'", pairItem)
	if err != nil {
		return err
	}
	for i, pair := range pairs {
		if slices.Contains(pairs[:i], pair) {
			mac := pair.MAC.String()
			if pair.MAC.IsZero() {
				mac = Show(nil)
			}
			return neutrino.Errorf(neutrino.Invalid, "DuplicateAddressPairInRequest",
				"Request contains duplicate address pair: mac_address %s ip_address %s.", mac, pairText(pair))
		}
	}
	*p = pairs
	return nil
}

// pairText spells the address of a pair as the API shows it.
func pairText(p neutrino.AddressPair) string {
	if p.IPAddress.IsSingleIP() {
		return p.IPAddress.Addr().String()
	}
	return p.IPAddress.String()
}

func pairItem(a *Attribute, raw any) (neutrino.AddressPair, error) {
	var p neutrino.AddressPair
	o, ok := raw.(Object)
	if !ok {
		return p, BadValue(a.Name, "'%s' is not a dictionary", Show(raw))
	}
	if _, ok := o["ip_address"]; !ok {
		return p, neutrino.Errorf(neutrino.Invalid, "AllowedAddressPairsMissingIP",
			"AllowedAddressPair must contain ip_address")
	}
	for key, v := range o {
		switch key {
		case "ip_address":
			if p.IPAddress, ok = addressOrPrefix(v); !ok {
				return p, BadValue(a.Name, "'%s' is not a valid IP address or IP subnet", Show(v))
			}
		case "mac_address":
			if err := decodeMAC(a, &p.MAC, v); err != nil {
				return p, err
			}
		default:
			return p, BadValue(a.Name, "Unexpected keys supplied: %s", Show(key))
		}
	}
	return p, nil
}

func addressOrPrefix(raw any) (netip.Prefix, bool) {
	if ip, ok := address(raw); ok {
		return netip.PrefixFrom(ip, ip.BitLen()), true
	}
	p, ok := subnetPrefix(raw)
	return p.Masked(), ok
}

func dhcpOptionItem(a *Attribute, raw any) (neutrino.DHCPOption, error) {
	d := neutrino.DHCPOption{IPVersion: 4}
	o, ok := raw.(Object)
	if !ok {
		return d, BadValue(a.Name, "'%s' is not a dictionary", Show(raw))
	}
	for key := range o {
		if key != "opt_name" && key != "opt_value" && key != "ip_version" {
			return d, BadValue(a.Name, "Unexpected keys supplied: %s", Show(key))
		}
	}
	if d.Name, ok = o["opt_name"].(string); !ok {
		return d, BadValue(a.Name, "'%s' is not a valid opt_name", Show(o["opt_name"]))
	}
	if v, ok := o["ip_version"]; ok {
		n, ok := Integer(v)
		if !ok || n != 4 && n != 6 {
			return d, BadValue(a.Name, "'%s' is not in [4, 6]", Show(v))
		}
		d.IPVersion = int(n)
	}
	switch v := o["opt_value"].(type) {
	case nil:
		d.Remove = true
	case json.Number:
		d.Value = v.String()
	case string:
		d.Value = v
	default:
		return d, BadValue(a.Name, "'%s' is not a valid string", Show(v))
	}
	return d, nil
}
