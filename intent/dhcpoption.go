package intent

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"neutrino"
)

// maxDHCPOptions is how many extra DHCP options a port has at most: it keeps a
// port's work small.
const maxDHCPOptions = 64

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
		if err := o.Check(); err != nil {
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
