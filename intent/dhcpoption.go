package intent

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"neutrino"
)

// Limits of a port's extra DHCP options. An option's content has 255 bytes at
// most (RFC 2132, section 2); the number of options keeps a port's work small.
const (
	maxDHCPOptions    = 64
	maxDHCPOptionName = 64
	maxDHCPOption     = 255
)

// hasControl reports whether the text has a character that could end a line or
// a field of a file, or that is not text at all.
func hasControl(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl)
}

// newDHCPOptions checks the options of a new port; null ones are left out.
func newDHCPOptions(p *neutrino.Port) error {
	asked := p.ExtraDHCPOpts
	p.ExtraDHCPOpts = nil
	return applyDHCPOptions(p, asked)
}

// mergeDHCPOptions changes the port's options by those of a request: the same
// name and family is replaced, a null value takes it away, others stay.
func mergeDHCPOptions(old, p *neutrino.Port, set neutrino.Fields) error {
	asked := p.ExtraDHCPOpts
	p.ExtraDHCPOpts = slices.Clone(old.ExtraDHCPOpts)
	if !set.Has("extra_dhcp_opts") {
		return nil
	}
	return applyDHCPOptions(p, asked)
}

func applyDHCPOptions(p *neutrino.Port, asked []neutrino.DHCPOption) error {
	if len(asked) > maxDHCPOptions {
		return neutrino.Invalidf("more than %d extra_dhcp_opts", maxDHCPOptions)
	}
	for _, o := range asked {
		if o.IPVersion == 0 {
			o.IPVersion = 4
		}
		if err := checkDHCPOption(o); err != nil {
			return err
		}
		i := slices.IndexFunc(p.ExtraDHCPOpts, func(have neutrino.DHCPOption) bool {
			return have.Name == o.Name && have.IPVersion == o.IPVersion
		})
		switch {
		case o.Remove && i >= 0:
			p.ExtraDHCPOpts = slices.Delete(p.ExtraDHCPOpts, i, i+1)
		case o.Remove:
		case i >= 0:
			p.ExtraDHCPOpts[i] = o
		default:
			p.ExtraDHCPOpts = append(p.ExtraDHCPOpts, o)
		}
	}
	if len(p.ExtraDHCPOpts) > maxDHCPOptions {
		return neutrino.Invalidf("more than %d extra_dhcp_opts", maxDHCPOptions)
	}
	return nil
}

// checkDHCPOption refuses whatever is not one option on one line of dnsmasq's
// file: a line break in a value once let tenants write dnsmasq's configuration
// (OSSA-2021-005).
func checkDHCPOption(o neutrino.DHCPOption) error {
	switch {
	case o.IPVersion != 4 && o.IPVersion != 6:
		return neutrino.Invalidf("ip_version %d of extra_dhcp_opts is not one of 4, 6", o.IPVersion)
	case !isOptionName(o.Name):
		return neutrino.Invalidf("'%s' is not a valid opt_name", strings.ToValidUTF8(o.Name, "?"))
	case o.Remove:
		return nil
	case o.Value == "" && o.Name != "router" && o.Name != "classless-static-route":
		return neutrino.Invalidf("opt_value of '%s' is blank", o.Name)
	case len(o.Value) > maxDHCPOption || hasControl(o.Value):
		return neutrino.Invalidf("opt_value of '%s' is too long or has control characters", o.Name)
	}
	return nil
}

// isOptionName accepts the name or the number (1..254, for DHCPv6 up to 65535)
// of an option, as dnsmasq spells them.
func isOptionName(s string) bool {
	if s == "" || len(s) > maxDHCPOptionName {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == ':') {
			return false
		}
	}
	if strings.Trim(s, "0123456789") != "" {
		return s[0] != '-'
	}
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= 65535 && n != 255
}
